package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// run executes statements without parameters.
func run(c *conn, statements string) error {
	_, err := c.ExecContext(context.Background(), statements, nil)
	return err
}

// snapshot runs queries in one transaction, so that they see the file as of one moment.
func snapshot(c *conn, queries func() error) (err error) {
	if err := run(c, "BEGIN"); err != nil {
		return err
	}
	defer func() {
		if !c.AutoCommit() { // SQLite ends the transaction by itself on some errors
			err = errors.Join(err, run(c, "ROLLBACK"))
		}
	}()
	return queries()
}

// first returns the first row of a query, nil if there is none.
func first(c *conn, query string, args ...driver.Value) (row []driver.Value, err error) {
	err = each(context.Background(), c, query, func(values []driver.Value) error {
		row = values
		return io.EOF
	}, args...)
	return row, err
}

// number returns the first value of a query's first row, 0 if there is none.
func number(c *conn, query string) (int64, error) {
	row, err := first(c, query)
	if err != nil || len(row) == 0 {
		return 0, err
	}
	n, _ := row[0].(int64) // NULL is 0
	return n, nil
}

// each calls do for every row of a query until it returns an error; io.EOF ends the query without
// one. The slice of values is reused, their contents are not.
func each(ctx context.Context, c *conn, query string, do func(values []driver.Value) error, args ...driver.Value) (err error) {
	rows, err := c.QueryContext(ctx, query, named(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(values)
		if err == nil {
			err = do(values)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func named(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, v := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return list
}
