package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Type is a column's type.
type Type int

// The types that all engines share.
const (
	Text  Type = iota
	Int        // 64 bits: counts, minor units, unix milliseconds
	Bytes      //
)

// Scope says where the rows of a table live in a multi-region database.
type Scope int

// The scopes.
const (
	// Regional rows live in the region that their first column names. They are written and read there fast.
	Regional Scope = iota
	// Global rows are read fast everywhere and written slowly: what changes rarely.
	Global
)

// Table describes one table for all engines. The first column of a Regional table is "region", and its key starts
// with it: looking for a key is then the business of one region.
type Table struct {
	Name    string
	Scope   Scope
	Columns []Column
	Key     []string // primary key
	Checks  []string // conditions over several columns
	Refs    []Ref
	Indexes []Index
}

// Column is one column. All columns are NOT NULL: a value that nobody knows gets a name of its own.
type Column struct {
	Name  string
	Type  Type
	Check string // condition, without parentheses; "" = none
}

// Ref is a foreign key: Columns hold the whole primary key of Table.
type Ref struct {
	Columns []string
	Table   string
	Key     []string
}

// Index is a secondary index named "<table>_<name>".
type Index struct {
	Name    string
	Columns []string
}

// check reports what would be refused by one engine or placed badly by another.
func (t Table) check() error {
	var faults []error
	has := func(what string, columns []string) {
		for _, c := range columns {
			if !slices.ContainsFunc(t.Columns, func(k Column) bool { return k.Name == c }) {
				faults = append(faults, fmt.Errorf("table %s: %s: no column %q", t.Name, what, c))
			}
		}
	}
	has("key", t.Key)
	if len(t.Key) == 0 {
		faults = append(faults, fmt.Errorf("table %s: no key", t.Name))
	}
	if t.Scope == Regional && (len(t.Columns) == 0 || len(t.Key) == 0 || t.Columns[0].Name != "region" || t.Key[0] != "region") {
		faults = append(faults, fmt.Errorf(`table %s: regional: want "region" as first column and at the start of the key`, t.Name))
	}
	for _, r := range t.Refs {
		has("reference to "+r.Table, r.Columns)
	}
	for _, i := range t.Indexes {
		has("index "+i.Name, i.Columns)
	}
	return errors.Join(faults...)
}

// DDL returns the statements that make the tables where they are missing, in order. regions place the rows of a
// CockroachDB, the first one primary; without them, and on the other engines, nothing is placed. Locality is part of
// CREATE TABLE because a later change rewrites the table.
func DDL(engine Engine, tables []Table, regions []string) []string {
	if engine != Cockroach {
		regions = nil
	}
	var all []string
	for _, t := range tables {
		all = append(all, t.create(engine, regions))
		for _, i := range t.Indexes {
			all = append(all, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s_%s ON %s (%s)",
				t.Name, i.Name, t.Name, strings.Join(i.Columns, ", ")))
		}
	}
	return all
}

// DatabaseDDL returns the statements that make a multi-region CockroachDB database which survives the loss of any one
// region, to be run before DDL from another database. Without regions it is an ordinary database.
func DatabaseDDL(name string, regions []string) []string {
	create := "CREATE DATABASE IF NOT EXISTS " + name
	if len(regions) > 0 {
		create += fmt.Sprintf(" PRIMARY REGION %q", regions[0])
		if len(regions) > 1 {
			var others []string
			for _, r := range regions[1:] {
				others = append(others, fmt.Sprintf("%q", r))
			}
			create += " REGIONS " + strings.Join(others, ", ")
		}
		if len(regions) > 2 { // fewer regions cannot outlive one of them
			create += " SURVIVE REGION FAILURE"
		}
	}
	return []string{create}
}

func (t Table) create(engine Engine, regions []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", t.Name)
	for _, c := range t.Columns {
		fmt.Fprintf(&b, "\t%s %s NOT NULL", c.Name, c.Type.name(engine))
		if c.Check != "" {
			fmt.Fprintf(&b, " CHECK (%s)", c.Check)
		}
		b.WriteString(",\n")
	}
	placed := len(regions) > 0
	if placed && t.Scope == Regional {
		// Computed from the region, so that a search by key stays in one region and the application never has to
		// name CockroachDB's type.
		b.WriteString("\tcrdb_region crdb_internal_region NOT VISIBLE NOT NULL AS (CASE region")
		for _, r := range regions {
			fmt.Fprintf(&b, " WHEN '%s' THEN '%s'::crdb_internal_region", r, r)
		}
		b.WriteString(" END) STORED,\n")
	}
	for _, c := range t.Checks {
		fmt.Fprintf(&b, "\tCHECK (%s),\n", c)
	}
	for _, r := range t.Refs {
		fmt.Fprintf(&b, "\tFOREIGN KEY (%s) REFERENCES %s (%s),\n", strings.Join(r.Columns, ", "), r.Table, strings.Join(r.Key, ", "))
	}
	fmt.Fprintf(&b, "\tPRIMARY KEY (%s)\n)", strings.Join(t.Key, ", "))
	switch {
	case engine == SQLite:
		b.WriteString(" STRICT, WITHOUT ROWID")
	case placed && t.Scope == Regional:
		b.WriteString(" LOCALITY REGIONAL BY ROW")
	case placed:
		b.WriteString(" LOCALITY GLOBAL")
	}
	return b.String()
}

func (t Type) name(engine Engine) string {
	switch {
	case t == Text:
		return "TEXT"
	case t == Int && engine == SQLite:
		return "INTEGER"
	case t == Int:
		return "BIGINT"
	case engine == SQLite:
		return "BLOB"
	}
	return "BYTEA"
}
