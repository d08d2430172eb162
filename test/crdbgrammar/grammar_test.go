package crdbgrammar

import (
	"go/ast"
	"go/constant"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/cockroachdb-parser/pkg/sql/parser"
	"github.com/cockroachdb/cockroachdb-parser/pkg/sql/sem/tree"
	"golang.org/x/tools/go/packages"

	"github.com/meridian-gtm/meridian/demo/shop"
	"github.com/meridian-gtm/meridian/demo/shop/store"
)

var regions = []string{"us-east", "eu-west", "ap-south"}

// statement is one that the source gives to a database, and where.
type statement struct{ sql, at string }

// statements finds every argument named "sql" or "query" of every call in the shop's source. They have to be
// constants, or such a parameter passed on: text that is put together at run time could be anything.
func statements(t *testing.T) (all []statement) {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{
		Dir:  "../..",
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedExportFile,
	}, "./demo/shop/...")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range loaded {
		for _, e := range p.Errors {
			t.Fatal(e)
		}
		if strings.HasSuffix(p.PkgPath, "/dbtest") {
			continue // statements for tests, of servers that are told apart by name
		}
		for _, file := range p.Syntax {
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				signature, ok := p.TypesInfo.TypeOf(call.Fun).(*types.Signature)
				if !ok {
					return true
				}
				for i := range signature.Params().Len() {
					name := signature.Params().At(i).Name()
					if name != "sql" && name != "query" || i >= len(call.Args) {
						continue
					}
					at := p.Fset.Position(call.Pos()).String()
					at = at[strings.LastIndex(at, "/demo/")+1:]
					value := p.TypesInfo.Types[call.Args[i]].Value
					switch {
					case value != nil && value.Kind() == constant.String:
						all = append(all, statement{constant.StringVal(value), at})
					case !passedOn(call.Args[i]) && !declared(at, call.Args[i]):
						t.Errorf("%s: a statement that is put together at run time", at)
					}
				}
				return true
			})
		}
	}
	return all
}

// passedOn reports whether the argument is the caller's own parameter, perhaps rendered.
func passedOn(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "sql" || e.Name == "query"
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.Ident)
		return ok && f.Name == "Render" && len(e.Args) == 3 && passedOn(e.Args[1])
	}
	return false
}

// declared reports whether the argument is one of the statements that make tables and databases, which this test
// takes from where they are made.
func declared(at string, e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "s" && (strings.Contains(at, "store/server.go") || strings.Contains(at, "store/sqlite.go"))
}

func TestEveryStatementIsRead(t *testing.T) {
	all := statements(t)
	if len(all) < 60 {
		t.Fatalf("found %d statements: want at least 60", len(all))
	}
	read, aged := 0, 0
	for _, s := range all {
		if strings.HasPrefix(s.sql, "PRAGMA") {
			continue
		}
		for _, f := range []store.Freshness{store.Current, store.Follower, store.Bounded} {
			sql := store.Render(store.Cockroach, s.sql, f)
			if f != store.Current && sql == s.sql {
				continue
			}
			parsed, err := parser.ParseOne(sql)
			if err != nil {
				t.Errorf("%s: %v in\n%s", s.at, err, sql)
				continue
			}
			read++
			if f == store.Current {
				continue
			}
			aged++
			if !isAged(parsed.AST) {
				t.Errorf("%s: the age is not where it belongs in\n%s", s.at, sql)
			}
		}
		if m := regexp.MustCompile(`(?i)skip locked|for update|now\(\)|autoincrement|serial`).FindString(s.sql); m != "" {
			t.Errorf("%s: %s: not the same on all engines", s.at, m)
		}
	}
	t.Logf("%d statements in the source; CockroachDB's grammar read %d, %d of them with an age", len(all), read, aged)
}

// isAged reports whether a statement is a SELECT as of an earlier time.
func isAged(s tree.Statement) bool {
	sel, ok := s.(*tree.Select)
	if !ok {
		return false
	}
	clause, ok := sel.Select.(*tree.SelectClause)
	return ok && clause.From.AsOf.Expr != nil
}

// TestSchemaIsRead reads what makes database and tables, with regions and without, and looks at what was understood.
func TestSchemaIsRead(t *testing.T) {
	for _, placed := range [][]string{regions, nil} {
		for _, sql := range store.DatabaseDDL("shop", placed) {
			parsed, err := parser.ParseOne(sql)
			if err != nil {
				t.Fatalf("%v in %s", err, sql)
			}
			db, ok := parsed.AST.(*tree.CreateDatabase)
			if !ok {
				t.Fatalf("%s is a %T", sql, parsed.AST)
			}
			if placed != nil && (string(db.PrimaryRegion) != regions[0] || len(db.Regions) != 2 || db.SurvivalGoal != tree.SurvivalGoalRegionFailure) {
				t.Errorf("%s: primary %s, others %v, survives %v", sql, db.PrimaryRegion, db.Regions, db.SurvivalGoal)
			}
		}
		localities := map[string][]string{}
		for _, sql := range store.DDL(store.Cockroach, shop.Tables(), placed) {
			parsed, err := parser.ParseOne(sql)
			if err != nil {
				t.Errorf("%v in %s", err, sql)
				continue
			}
			table, ok := parsed.AST.(*tree.CreateTable)
			if !ok {
				continue
			}
			locality := "none"
			if table.Locality != nil {
				locality = tree.AsString(table.Locality)
			}
			localities[locality] = append(localities[locality], table.Table.Table())
			computed := slices.ContainsFunc(table.Defs, func(d tree.TableDef) bool {
				c, ok := d.(*tree.ColumnTableDef)
				return ok && c.Name == "crdb_region" && c.IsComputed() && c.Hidden
			})
			if regional := table.Locality != nil && table.Locality.LocalityLevel == tree.LocalityLevelRow; computed != regional {
				t.Errorf("%s: regional by row %v, crdb_region computed and hidden %v: want both or none", table.Table.Table(), regional, computed)
			}
		}
		if placed == nil && len(localities) != 1 || placed != nil && (len(localities) != 2 || len(localities["none"]) > 0) {
			t.Errorf("regions %v: localities %v", placed, localities)
		}
		if placed != nil && !slices.Contains(localities["LOCALITY GLOBAL"], "products") {
			t.Errorf("products are not global: %v", localities)
		}
		t.Logf("regions %v: localities %v", placed, localities)
	}
}

// TestGrammarHasTeeth: the parser that read everything refuses what CockroachDB does not know.
func TestGrammarHasTeeth(t *testing.T) {
	for _, sql := range []string{
		"SELECT FROM WHERE", "PRAGMA journal_mode", "CREATE TABLE t (a TEXT) STRICT, WITHOUT ROWID",
		"SELECT a FROM t WHERE a = 1 AS OF SYSTEM TIME follower_read_timestamp()",
		"CREATE TABLE t (a TEXT PRIMARY KEY) LOCALITY REGIONAL BY TABEL",
	} {
		if _, err := parser.ParseOne(sql); err == nil {
			t.Errorf("read: %s", sql)
		}
	}
}
