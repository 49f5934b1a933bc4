package models

import (
	"fmt"
	"testing"

	"vicreg/models/optim"
)

// Every model, stem and block size must build: a block's branch and shortcut have to agree on a
// layout whatever precedes them.
func TestEveryModelBuilds(t *testing.T) {
	sgd, err := optim.Default("sgd")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ModelNames() {
		for _, stem := range []string{"imagenet", "cifar"} {
			for _, width := range []int{12, 16} {
				for _, block := range []int{0, 8, 16} {
					t.Run(fmt.Sprintf("%s/%s/%d/%d", name, stem, width, block), func(t *testing.T) {
						c := Config{Expander: Expander{[]int{32, 32}, "relu"}, Loss: Loss{25, 25, 1}, Optimizer: sgd, Batch: 4, Size: 64,
							Std: [3]float64{1, 1, 1}, Block: block}
						if c.Backbone, err = NewResNet(name, stem, width); err != nil {
							t.Fatal(err)
						}
						a, err := Step(c)
						if err == nil {
							_, err = a.Graph.Model()
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
	}
}
