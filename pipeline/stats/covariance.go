package stats

import "math"

// VariancePairs is the sum of var_i var_j over all pairs i != j of dimensions, over D.
func VariancePairs(z Matrix) float64 {
	var sum, squares float64
	for _, s := range ColumnStd(z) {
		sum += s * s
		squares += s * s * s * s
	}
	return (sum*sum - squares) / float64(z.D)
}

// CovarianceTermAt is what VICReg's covariance term, found in n samples, would be on average
// in m of the same distribution; pairs is VariancePairs, added up as the term is. Of samples
// of dimensions without any covariance the term is not 0, but pairs/(n-1). Exact for normal
// distributions, from E[C_ij^2] = s_ij^2 + (s_ii s_jj + s_ij^2)/(n-1). n is at least 3.
func CovarianceTermAt(term, pairs float64, n, m int) float64 {
	a, b := 1/float64(n-1), 1/float64(m-1)
	true2 := (term - pairs*a) / (1 + a - 2*a*a) // sum of s_ij^2; its estimate may be below 0
	return math.Max(0, true2*(1+b)+(pairs-2*true2*a)*b)
}
