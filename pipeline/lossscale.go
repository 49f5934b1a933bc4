package pipeline

import "vicreg/pipeline/checkpoint"

// The loss scale of a run in float16, as PyTorch's GradScaler moves it: half after
// a step whose gradient is not finite, twice after so many good ones in a row. A
// power of two, it changes no bit of a gradient that float16 can hold. VICReg's
// gradient at the embeddings is some 25*2/(N*D), which the first scale brings to
// the middle of the range of float16.
const (
	firstScale = 1 << 16
	minScale   = 1
	maxScale   = 1 << 24 // beyond, float32 could overflow, too
	growAfter  = 2000    // steps
)

// beginScale sets the loss scale of a run that starts or goes on: the one it had, if
// it had one in this precision.
func beginScale(p *checkpoint.Position, before, now precision) {
	switch {
	case !now.scaled():
		p.LossScale, p.Steady = 1, 0
	case !before.scaled() || !(p.LossScale >= minScale && p.LossScale <= maxScale):
		p.LossScale, p.Steady = firstScale, 0
	}
}

// moveScale sets the loss scale for the next step.
func moveScale(p *checkpoint.Position, now precision, accepted bool) {
	if !now.scaled() {
		return
	}
	if !accepted {
		p.LossScale, p.Steady = max(p.LossScale/2, minScale), 0
		return
	}
	if p.Steady++; p.Steady == growAfter {
		p.LossScale, p.Steady = min(p.LossScale*2, maxScale), 0
	}
}

// canFall tells whether a step that was not finite may be so for its loss scale.
func canFall(p checkpoint.Position) bool { return p.LossScale > minScale }
