package reference

import "math"

// ops maps an operator's key to what it computes.
var ops = map[string]func(*call) []array{
	"Add":         binary(func(a, b float64) float64 { return a + b }),
	"Sub":         binary(func(a, b float64) float64 { return a - b }),
	"Mul":         binary(func(a, b float64) float64 { return a * b }),
	"Div":         binary(func(a, b float64) float64 { return a / b }),
	"Max":         binary(math.Max),
	"Min":         binary(math.Min),
	"Pow":         binary(math.Pow),
	"Greater":     binary(func(a, b float64) float64 { return truth(a > b) }),
	"And":         binary(func(a, b float64) float64 { return truth(a != 0 && b != 0) }),
	"Neg":         unary(func(x float64) float64 { return -x }),
	"Sqrt":        unary(math.Sqrt),
	"Reciprocal":  unary(func(x float64) float64 { return 1 / x }),
	"Exp":         unary(math.Exp),
	"Erf":         unary(math.Erf),
	"Abs":         unary(math.Abs),
	"Relu":        unary(relu),
	"Gelu":        unary(func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }),
	"Identity":    unary(func(x float64) float64 { return x }),
	"Not":         unary(func(x float64) float64 { return truth(x == 0) }),
	"IsNaN":       unary(func(x float64) float64 { return truth(math.IsNaN(x)) }),
	"IsInf":       unary(func(x float64) float64 { return truth(math.IsInf(x, 0)) }),
	"HardSigmoid": one(hardSigmoid),
	"Sum":         one(sum),
	"Cast":        one(cast),
	"Where":       one(where),

	"MatMul":                    one(matMul),
	"com.microsoft.FusedMatMul": one(matMul),
	"Gemm":                      one(gemm),
	"ReduceSum":                 one(reduceSum),
	"ReduceMean":                one(reduceMean),
	"ReduceSumSquare":           one(reduceSumSquare),

	"Reshape":         one(reshape),
	"Transpose":       one(transpose),
	"Expand":          one(expand),
	"Slice":           one(slice),
	"Concat":          one(concat),
	"Split":           split,
	"Gather":          one(gather),
	"ScatterElements": one(scatterAdd),
	"Pad":             one(pad),

	"Conv":               one(conv),
	"ConvTranspose":      one(convTranspose),
	"MaxPool":            maxPool,
	"BatchNormalization": one(batchNormalization),

	"com.microsoft.GatedAdd":                 one(gatedAdd),
	"com.microsoft.BiasAdd":                  one(biasAdd),
	"com.ms.internal.nhwc.Conv":              one(convNHWC),
	"com.ms.internal.nhwc.MaxPool":           maxPoolNHWC,
	"com.ms.internal.nhwc.GlobalAveragePool": one(meanNHWC),
	"com.ms.internal.nhwc.BatchNormalization": one(func(c *call) array {
		return lastChannels(c, batchNormalization)
	}),

	"vicreg.cuda.Conv":           one(cudnnConv),
	"vicreg.cuda.ConvInputGrad":  one(cudnnConvInputGrad),
	"vicreg.cuda.ConvWeightGrad": one(cudnnConvWeightGrad),
	"vicreg.cuda.ConvMoments":    cudnnConvMoments,
	"vicreg.cuda.BatchNorm":      fusedBatchNorm,
	"vicreg.cuda.Normalize":      fusedNormalize,
	"vicreg.cuda.BatchNormGrad":  fusedBatchNormGrad,
	"vicreg.cuda.MaxPool":        maxPoolPlaces,
	"vicreg.cuda.MaxPoolGrad":    one(maxPoolPlacesGrad),
	"vicreg.cuda.Pixels":         one(pixelValues),
	"vicreg.cuda.Dots":           one(dots),
	"vicreg.cuda.Momentum":       momentum,
	"vicreg.cuda.Adam":           adam,
	"vicreg.cuda.Blend":          blend,
	"vicreg.cuda.Sums":           sums,
	"vicreg.cuda.Halves":         halves,

	// In a single process, collectives return their inputs.
	"vicreg.collectives.AllGather": func(c *call) []array { return c.in[:len(c.Outputs)] },
	"vicreg.collectives.AllReduce": func(c *call) []array { return c.in[:len(c.Outputs)] },

	"com.microsoft.nchwc.ReorderInput":      one(reorderInput),
	"com.microsoft.nchwc.ReorderOutput":     one(reorderOutput),
	"com.microsoft.nchwc.Conv":              one(blockedConv),
	"com.microsoft.nchwc.GlobalAveragePool": one(blockedMean),
}

// one adapts an operator with a single result.
func one(f func(*call) array) func(*call) []array {
	return func(c *call) []array { return []array{f(c)} }
}

// unary applies f to each element.
func unary(f func(x float64) float64) func(*call) []array {
	return one(func(c *call) array { return mapped(c.in[0], f) })
}

// binary applies f to pairs of elements, broadcast.
func binary(f func(a, b float64) float64) func(*call) []array {
	return one(func(c *call) array { return zip(c.in[0], c.in[1], f) })
}
