package stats

import "math"

// VariancePairs is the sum of var_i var_j over all pairs of dimensions i != j, divided by D.
func VariancePairs(z Matrix) float64 {
	var sum, squares float64
	for _, s := range ColumnStd(z) {
		sum += s * s
		squares += s * s * s * s
	}
	return (sum*sum - squares) / float64(z.D)
}

// CovarianceTermAt converts VICReg's covariance term, measured on n samples, into its expected
// value on m samples of the same distribution; pairs is VariancePairs, summed over views like the
// term. The term is biased: even for uncorrelated dimensions it averages pairs/(n-1), not 0. Exact
// for normal distributions, from E[C_ij^2] = s_ij^2 + (s_ii s_jj + s_ij^2)/(n-1). n is at least 3.
func CovarianceTermAt(term, pairs float64, n, m int) float64 {
	a, b := 1/float64(n-1), 1/float64(m-1)
	true2 := (term - pairs*a) / (1 + a - 2*a*a) // sum of s_ij^2; the estimate may be negative
	return math.Max(0, true2*(1+b)+(pairs-2*true2*a)*b)
}
