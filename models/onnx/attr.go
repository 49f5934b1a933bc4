package onnx

// Float is a float attribute.
func Float(name string, v float32) *AttributeProto {
	return &AttributeProto{Name: name, Type: AttributeProto_FLOAT, F: v}
}

// Int is an integer attribute.
func Int(name string, v int64) *AttributeProto {
	return &AttributeProto{Name: name, Type: AttributeProto_INT, I: v}
}

// String is a string attribute.
func String(name, v string) *AttributeProto {
	return &AttributeProto{Name: name, Type: AttributeProto_STRING, S: []byte(v)}
}

// Ints is a list of integers.
func Ints(name string, v ...int64) *AttributeProto {
	return &AttributeProto{Name: name, Type: AttributeProto_INTS, Ints: v}
}

// values counts the value fields of an attribute that are set, and reports whether the field named
// by its type is among them. A zero scalar, an empty string and an empty list cannot be told from
// unset fields and are accepted as set.
func (a *AttributeProto) values() (set int, typed bool) {
	fields := []struct {
		t          AttributeProto_AttributeType
		set, empty bool
	}{
		{AttributeProto_FLOAT, a.F != 0, true},
		{AttributeProto_INT, a.I != 0, true},
		{AttributeProto_STRING, len(a.S) > 0, true},
		{AttributeProto_TENSOR, a.T != nil, false},
		{AttributeProto_GRAPH, a.G != nil, false},
		{AttributeProto_FLOATS, len(a.Floats) > 0, true},
		{AttributeProto_INTS, len(a.Ints) > 0, true},
		{AttributeProto_STRINGS, len(a.Strings) > 0, true},
		{AttributeProto_TENSORS, len(a.Tensors) > 0, true},
		{AttributeProto_GRAPHS, len(a.Graphs) > 0, true},
	}
	for _, f := range fields {
		if f.set {
			set++
		}
		if f.t == a.Type {
			typed = f.set || f.empty
		}
	}
	return set, typed
}
