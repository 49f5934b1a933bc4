package items

import (
	"errors"
	"fmt"

	"vicreg/server/index"
	"vicreg/server/problem"
)

// unmade counts the items that a rebuild cannot make anew. As an error it is what clients are told.
type unmade struct {
	items         int
	namespace, id string // of the first one
	why           string
	early         bool // found before the files were read, which may show more
}

// mostMissing is the maximum number of such items that the log names.
const mostMissing = 20

func (u *unmade) Error() string {
	count := fmt.Sprint(u.items)
	if u.early {
		count = "at least " + count
	}
	which := fmt.Sprintf("such as %q: %s", problem.Cut(u.id, problem.MostWords), u.why)
	if u.namespace != index.DefaultNamespace {
		which = fmt.Sprintf("such as %q in the namespace %q: %s", problem.Cut(u.id, problem.MostWords), problem.Cut(u.namespace, problem.MostWords), u.why)
	}
	return fmt.Sprintf("%s of its items cannot be recomputed, %s. The server's log names up to %d with the reasons. Fix their files or delete these items (DELETE /items/{id}), "+
		"and send the server SIGHUP; or stop it and run vicreg index rebuild FILE --model FILE, which has its own limits, and drops items with --drop-missing", count, which, mostMissing)
}

// miss records an item that cannot be rebuilt.
func (r *refill) miss(namespace string, item index.Item, why error) {
	u := &r.missing
	if u.items++; u.items == 1 {
		u.namespace, u.id, u.why = namespace, item.ID, public(item, why)
	}
	if u.items <= mostMissing {
		r.s.log.Error("cannot recompute an item", "namespace", namespace, "id", item.ID, "error", why)
	}
}

// public is the reason as clients may know it: only the item's own. What is at a path that a client
// has named, and whether it exists at all, is for the log.
func public(item index.Item, why error) string {
	if errors.Is(why, index.ErrDamaged) {
		return "its row in the index is damaged"
	}
	if err := item.Remakable(); err != nil {
		return problem.Cut(err.Error(), problem.MostWords)
	}
	return "its file is gone, has changed, cannot be read, or is too large or too slow for the server"
}
