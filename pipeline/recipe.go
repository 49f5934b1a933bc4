package pipeline

import (
	"flag"
	"fmt"
	"strings"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// recipeFlags choose how the views of an image are made.
type recipeFlags struct {
	name    string
	changes []string
}

func (f *recipeFlags) register(fs *flag.FlagSet) {
	var names []string
	for _, r := range imaging.Recipes() {
		names = append(names, r.Name)
	}
	fs.StringVar(&f.name, "recipe", "", "augmentation recipe `name`: "+strings.Join(names, ", ")+"; by default imagenet, or cifar for images up to 64 pixels")
	fs.Func("augment", "override settings of the recipe: `NAME=VALUE`,..., such as hue=0,flip_v=0.5; a probability is P, or P:P for the two views; may be repeated; names are listed below", func(text string) error {
		f.changes = append(f.changes, text)
		return nil
	})
}

// recipeNotes explains the names for a command's help.
func recipeNotes() string {
	return "Settings for --augment, in the order in which the operations run:\n" + imaging.Settings() + `
No recipe enables rotate, since X-rays, like photographs, have a right way up. For aerial,
microscopy and pathology images, --recipe mild --augment rotate=0.75 shows all four
orientations equally often.`
}

// recipe returns the chosen recipe with its changes; fallback names the default one.
func (f *recipeFlags) recipe(fallback string) (imaging.Recipe, error) {
	if f.name != "" {
		fallback = f.name
	}
	r, err := imaging.RecipeNamed(fallback)
	for _, c := range f.changes {
		if err == nil {
			err = r.Set(c)
		}
	}
	if err == nil {
		if err = encoder.Normalises(r.Mean, r.Std); err != nil {
			err = fmt.Errorf("--augment: %w", err)
		}
	}
	if err != nil {
		return r, &usage.Error{Err: err}
	}
	return r, nil
}

// describeViews is describeRecipe plus the conversion of files, if it is not the default.
func describeViews(r imaging.Recipe, c imaging.Conversion) string {
	if how := c.Describe(); how != "" {
		return describeRecipe(r) + ", " + how
	}
	return describeRecipe(r)
}

// describeRecipe names a recipe and says if it was changed.
func describeRecipe(r imaging.Recipe) string {
	if named, err := imaging.RecipeNamed(r.Name); err != nil || named != r {
		return r.Name + " recipe, changed by --augment"
	}
	return r.Name + " recipe"
}
