package filter

import (
	"fmt"
	"slices"
	"strings"
)

// parser parses a filter.
type parser struct {
	*cursor
	conditions int
}

func parse(text []byte) (*Filter, error) {
	c, err := open(text)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	p := parser{cursor: c}
	root, err := p.object("")
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return &Filter{root: root}, nil
}

// object parses a filter; place is its path for errors, "" at the top level.
func (p *parser) object(place string) (object, error) {
	if p.next() != '{' {
		return nil, at(place, "want a filter, not %s", p.what())
	}
	var o object
	err := p.members(func(key string) error {
		m, err := p.member(join(place, shown(key)), key)
		o = append(o, m)
		return err
	})
	slices.SortFunc(o, func(a, b member) int { return strings.Compare(a.key, b.key) })
	return o, err
}

func (p *parser) member(place, key string) (m member, err error) {
	m.key = key
	switch {
	case key == "$not":
		m.parts = make([]object, 1)
		m.parts[0], err = p.object(place)
	case key == "$and" || key == "$or":
		m.parts, err = p.parts(place)
	case strings.HasPrefix(key, "$"):
		err = unknownJunction(key)
	default:
		m.tests, err = p.tests(place, key)
	}
	return m, err
}

func (p *parser) parts(place string) (parts []object, err error) {
	if p.next() != '[' {
		return nil, at(place, "want a list of filters, not %s", p.what())
	}
	err = p.elements(func(i int) error {
		o, err := p.object(fmt.Sprintf("%s[%d]", place, i))
		parts = append(parts, o)
		return err
	})
	if err == nil && len(parts) == 0 {
		return nil, at(place, "the list of filters is empty")
	}
	return parts, err
}

// tests parses a field's condition: an object of operators, or a value for equality.
func (p *parser) tests(place, field string) (tests []test, err error) {
	switch p.next() {
	case '[':
		return nil, at(place, `a field cannot be compared with a list; for one of several values write {"$in":[...]}`)
	case '{':
	default:
		t, err := p.test(place, "$eq")
		return []test{t}, err
	}
	err = p.members(func(operator string) error {
		if !slices.Contains(operators, operator) {
			return at(place, "%w", unknownOperator(field, operator))
		}
		t, err := p.test(join(place, operator), operator)
		tests = append(tests, t)
		return err
	})
	if err == nil && len(tests) == 0 {
		return nil, at(place, "the object contains no operator; known operators: %s", strings.Join(operators, " "))
	}
	slices.SortFunc(tests, func(a, b test) int { return strings.Compare(a.operator, b.operator) })
	return tests, err
}

// test parses the operand of an operator.
func (p *parser) test(place, operator string) (t test, err error) {
	if p.conditions++; p.conditions > MaxConditions {
		return t, at(place, "the filter has more than %d conditions", MaxConditions)
	}
	t.operator = operator
	if operator == "$in" || operator == "$nin" {
		t.values, err = p.values(place)
		return t, err
	}
	what := p.what()
	value, err := p.value(place)
	t.values = []scalar{value}
	switch {
	case err != nil:
	case operator == "$exists" && value.kind != yes && value.kind != no:
		err = at(place, "want true or false, not %s", what)
	case operator != "$exists" && operator != "$eq" && operator != "$ne" && value.kind != number && value.kind != text:
		err = at(place, "want a number or a string, not %s", what)
	}
	return t, err
}

func (p *parser) values(place string) (values []scalar, err error) {
	if p.next() != '[' {
		return nil, at(place, "want a list of values, not %s", p.what())
	}
	err = p.elements(func(i int) error {
		if i == MaxValues {
			return at(place, "the list has more than %d values", MaxValues)
		}
		v, err := p.value(fmt.Sprintf("%s[%d]", place, i))
		values = append(values, v)
		return err
	})
	slices.SortFunc(values, order)
	return slices.Compact(values), err
}

func (p *parser) value(place string) (scalar, error) {
	if b := p.next(); b == '{' || b == '[' {
		return scalar{}, at(place, "want a string, a number, true, false or null, not %s", p.what())
	}
	v, err := p.scalar()
	if err != nil {
		err = at(place, "%w", err)
	}
	return v, err
}

func join(place, key string) string { return strings.TrimPrefix(place+"."+key, ".") }

// at returns an error prefixed with its place, if it has one.
func at(place, format string, a ...any) error {
	err := fmt.Errorf(format, a...)
	if place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", place, err)
}
