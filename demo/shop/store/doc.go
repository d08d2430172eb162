// Package store runs the shop's transactions on three engines: SQLite (one file, one writer), PostgreSQL and
// CockroachDB. Statements are written once, with $1 placeholders and nothing that one of the three does not know;
// what differs is told apart here and nowhere else: how a transaction is retried, when the end of one is unknown, how
// an old but near copy of a row is read, and how a table is declared (see [Table]).
//
// [DB.RunTx] is the heart of it. The three engines refuse a transaction at three different moments:
//
//   - SQLite: at its begin, because writing transactions take the one lock at once. Waiting is done by SQLite.
//   - PostgreSQL: at any statement and at COMMIT, with 40001 or 40P01. A savepoint cannot save such a transaction, so
//     every attempt is a new one.
//   - CockroachDB: at any statement and at RELEASE SAVEPOINT, where the same transaction goes on with a higher
//     priority. cockroach-go knows how.
//
// Function and arguments of a transaction may therefore run several times: they must have no effect outside of it.
//
// A connection that is lost during COMMIT leaves open whether the transaction happened. RunTx never guesses and never
// runs such a transaction again: it returns [ErrAmbiguous], and the caller asks the database by a key of its own.
//
// All types are safe for concurrent use, transactions excepted.
package store
