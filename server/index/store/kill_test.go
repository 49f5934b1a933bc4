package store

func keepOn(args []string) error      { return nil }
func replaceOnce(args []string) error { return nil }
func fill(args []string) error        { return nil }
