package ort

// Copies is the number of inputs that a stepper keeps copies of.
func Copies(st *Stepper) (n int) {
	for _, b := range st.copied {
		if b != nil {
			n++
		}
	}
	return n
}
