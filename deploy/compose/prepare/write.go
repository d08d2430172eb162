package main

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/meridian-gtm/meridian/geo/mmdb/demodb"
)

//go:embed *.tmpl
var templateFiles embed.FS

// Folders are where files go: one volume for each group of containers that may read them.
type Folders struct {
	Fleet    string // no secrets
	Keys     string
	Shop     string
	Postgres string
}

// Passwords of the database's users.
type passwords struct{ Superuser, Replication, Rest string }

// write makes everything but the address of the database.
func (w *World) write(dirs Folders) error {
	for _, dir := range []string{dirs.Fleet, dirs.Keys, dirs.Shop, dirs.Postgres} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if _, err := secret(filepath.Join(dirs.Keys, "gossip.keys"), "%s\n"); err != nil {
		return err
	}
	if _, err := secret(filepath.Join(dirs.Shop, "bank.secret"), "%s\n"); err != nil {
		return err
	}
	password, err := secret(filepath.Join(dirs.Postgres, "shop.password"), "%s")
	if err != nil {
		return err
	}
	// libpq's password file: host, port, database and user may be anything.
	if err := put(filepath.Join(dirs.Shop, "pgpass"), "*:*:*:shop:"+password+"\n", 0o600); err != nil {
		return err
	}
	var p passwords
	for name, into := range map[string]*string{"superuser": &p.Superuser, "replication": &p.Replication, "rest": &p.Rest} {
		if *into, err = secret(filepath.Join(dirs.Postgres, name+".password"), "%s"); err != nil {
			return err
		}
	}
	if _, _, err := demodb.WriteFiles(dirs.Fleet); err != nil {
		return err
	}
	for _, r := range w.Regions {
		data := struct {
			*World
			Region
			Keys      string
			Passwords passwords
		}{w, r, dirs.Keys, p}
		for file, tmpl := range map[string]string{
			filepath.Join(dirs.Fleet, r.Name+".yaml"):       "meridian.yaml.tmpl",
			filepath.Join(dirs.Fleet, "shop.example.zone"):  "shop.example.zone.tmpl",
			filepath.Join(dirs.Fleet, r.Name+".haproxy"):    "haproxy.cfg.tmpl",
			filepath.Join(dirs.Fleet, r.Name+".nginx"):      "nginx.conf.tmpl",
			filepath.Join(dirs.Postgres, r.Name+".patroni"): "patroni.yml.tmpl",
		} {
			var out bytes.Buffer
			if err := templates.ExecuteTemplate(&out, tmpl, data); err != nil {
				return err
			}
			mode := fs.FileMode(0o644)
			if filepath.Dir(file) == filepath.Clean(dirs.Postgres) {
				mode = 0o600
			}
			if err := put(file, out.String(), mode); err != nil {
				return err
			}
		}
	}
	fmt.Printf("world %s.0.0/16 with %d regions: ready\n", w.Net, len(w.Regions))
	return nil
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"inc": func(i int) int { return i + 1 },
}).ParseFS(templateFiles, "*.tmpl"))

// everywhere is the name of the file for processes that are in no region.
const everywhere = "backbone"

// writeDatabase tells the shops where their database is. A world has one database: another answer than the one that
// is there is an error.
func (w *World) writeDatabase(dirs Folders, engine string) error {
	names := []string{everywhere}
	for _, r := range w.Regions {
		names = append(names, r.Name)
	}
	for _, name := range names {
		url, err := w.databaseURL(engine, name, filepath.Join(dirs.Shop, "pgpass"))
		if err != nil {
			return err
		}
		file := filepath.Join(dirs.Shop, name+".database")
		old, err := os.ReadFile(file)
		if err == nil && !strings.HasPrefix(string(old), engine+":") {
			return fmt.Errorf("%s: %q: want %s: this world has the other database already; take it down with its volumes first", file, old, engine)
		}
		if err := put(file, url+"\n", 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("database of the shops: %s\n", engine)
	return nil
}

// secret returns what is in a file, and puts 32 random bytes there if there is no file.
func secret(file, format string) (string, error) {
	old, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(old)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	key := make([]byte, 32)
	rand.Read(key) // never fails
	text := base64.StdEncoding.EncodeToString(key)
	return text, put(file, fmt.Sprintf(format, text), 0o600)
}

// put replaces a file in one step: a container that starts meanwhile reads the old one or the new one.
func put(file, text string, mode fs.FileMode) error {
	next := file + ".new"
	if err := os.WriteFile(next, []byte(text), mode); err != nil {
		return err
	}
	return os.Rename(next, file)
}
