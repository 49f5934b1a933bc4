package filter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
)

// The operators on fields, and those that join filters.
var (
	operators = []string{"$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$exists"}
	junctions = []string{"$and", "$or", "$not"}
)

func unknownJunction(key string) error {
	if slices.Contains(operators, key) {
		return fmt.Errorf(`%s belongs below a field: {"field":{"%s":...}}`, key, key)
	}
	return fmt.Errorf("unknown operator %s; %s", shown(key), instead(key, junctions))
}

func unknownOperator(field, key string) error {
	switch {
	case slices.Contains(junctions, key):
		return fmt.Errorf("%s combines whole filters and cannot be used below a field", key)
	case !strings.HasPrefix(key, "$") && !slices.Contains(operators, "$"+key):
		return fmt.Errorf("unknown operator %s; a nested field is written with dots: %s", shown(key), shown(field+"."+key))
	}
	return fmt.Errorf("unknown operator %s; %s", shown(key), instead(key, operators))
}

// instead suggests a known key similar to an unknown one.
func instead(key string, known []string) string {
	best := slices.MinFunc(known, func(a, b string) int { return cmp.Compare(usage.Distance(key, a), usage.Distance(key, b)) })
	if usage.Distance(key, best) <= 2 {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return "known operators: " + strings.Join(known, " ")
}
