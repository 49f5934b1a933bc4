package pipeline

import "vicreg/pipeline/checkpoint"

// The loss scale of a run in float16, adjusted like PyTorch's GradScaler: halved after a step with
// a non-finite gradient, doubled after growAfter consecutive good ones. Being a power of two, it
// changes no bit of a gradient that float16 can represent. VICReg's gradient with respect to the
// embeddings is around 25*2/(N*D), which the initial scale moves to the middle of float16's range.
const (
	firstScale = 1 << 16
	minScale   = 1
	maxScale   = 1 << 24 // above this even float32 could overflow
	growAfter  = 2000    // steps
)

// beginScale sets the loss scale of a run that starts or resumes: it keeps the previous one if that
// was in a scaled precision and is in range.
func beginScale(p *checkpoint.Position, before, now precision) {
	switch {
	case !now.scaled():
		p.LossScale, p.Steady = 1, 0
	case !before.scaled() || !(p.LossScale >= minScale && p.LossScale <= maxScale):
		p.LossScale, p.Steady = firstScale, 0
	}
}

// moveScale updates the loss scale for the next step.
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

// canFall reports whether the loss scale may be the cause of a non-finite step.
func canFall(p checkpoint.Position) bool { return p.LossScale > minScale }
