package graph

// Forms choose between the two families of graphs for CUDA.
type Forms struct {
	Cudnn bool // convolve, normalise and pool by the operators of cudnn.go
}

// CudnnForms are those of a graph by the operators over cuDNN.
var CudnnForms = Forms{Cudnn: true}
