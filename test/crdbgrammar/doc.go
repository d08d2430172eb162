// Package crdbgrammar checks the shop's SQL with CockroachDB's own parser. It is a module of its own because the parser
// brings a hundred others along, which nothing else needs. It proves that CockroachDB can read every statement, not
// that a statement means there what it means on PostgreSQL: for that the shop's tests have to run on a cluster.
package crdbgrammar
