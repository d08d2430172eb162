package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxSize bounds a configuration file. Ten thousand services fit in a tenth of it.
const maxSize = 32 << 20

// document is one configuration file being read.
type document struct {
	file   string
	faults Faults
	after  []func()        // checks across sections, run when all have been read
	known  map[string]bool // every key that was accepted or could have been, as the reference writes it
}

// cursor is one value of a document and where it stands.
type cursor struct {
	doc  *document
	node *yaml.Node
	line int    // of the key when there is one, else of the value
	path string // "services.shop.ttl.min"
	key  string // the path as the reference writes it: "services.NAME.ttl.min"
}

// yamlLine finds the line number in the text of a syntax error: the library has no field for it.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// parse reads data up to its nodes. The document has a fault if there is not exactly one, a mapping.
func parse(file string, data []byte) (*document, cursor) {
	doc := &document{file: file, known: map[string]bool{}}
	root := cursor{doc: doc, node: &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}, line: 1}
	if len(data) > maxSize {
		root.report(fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d bytes", maxSize))
		return doc, root
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		root.report("empty", "a mapping with node, dns, datacenters, ...")
		return doc, root
	} else if err != nil {
		root.syntax(err)
		return doc, root
	}
	if top := first.Content[0]; top.Kind == yaml.MappingNode {
		root.node = top
	} else {
		root.line = top.Line
		root.report(show(top), "a mapping with node, dns, datacenters, ...")
		return doc, root
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		root.line = second.Line
		root.report("a second document", "one document in a file")
	case !errors.Is(err, io.EOF):
		root.syntax(err)
	}
	root.line = 1
	return doc, root
}

func (c cursor) syntax(err error) {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			c.line = line
		}
	}
	want := "YAML"
	if strings.Contains(text, "unknown anchor") || strings.Contains(text, "cannot start any token") ||
		strings.Contains(text, "expected alphabetic") {
		want += "; names that begin with * or @ need quotes"
	}
	c.report(text, want)
}

// report adds a fault at c.
func (c cursor) report(value, want string) {
	file := c.doc.file
	if c.line == 0 {
		file = "override"
	}
	c.doc.faults = append(c.doc.faults, Fault{File: file, Line: c.line, Path: c.path, Value: value, Want: want})
}

// refuse adds a fault that quotes the value at c.
func (c cursor) refuse(format string, args ...any) {
	c.report(show(c.node), fmt.Sprintf(format, args...))
}

// plainKey matches the keys that a path can hold bare.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// child returns the cursor for a key of the mapping at c; keyNode is nil when the key is not in the file.
func (c cursor) child(key string, keyNode, value *yaml.Node) cursor {
	c.node = value
	if keyNode != nil {
		c.line = keyNode.Line
	}
	switch {
	case !plainKey.MatchString(key):
		c.path += "[" + quote(key) + "]"
	case c.path == "":
		c.path = key
	default:
		c.path += "." + key
	}
	if c.key != "" {
		c.key += "."
	}
	c.key += key
	return c
}

// entries calls each for every key of the mapping at c, in the order of the file. It refuses anything but a mapping,
// and keys that are not scalars or come twice. Nothing at all is an empty mapping.
func (c cursor) entries(each func(key string, v cursor)) {
	if c.absent() {
		return
	}
	if !c.isMapping() {
		c.refuse("a mapping")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(c.node.Content); i += 2 {
		k, v := c.node.Content[i], c.node.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			at := c
			at.line = k.Line
			at.report(show(k)+" as a key", "a word")
			continue
		}
		at := c.child(k.Value, k, v)
		if first, twice := seen[k.Value]; twice {
			at.report("duplicate key", fmt.Sprintf("it once; first on line %d", first))
			continue
		}
		seen[k.Value] = k.Line
		if v.Kind == yaml.AliasNode {
			at.report(show(v), "the value itself: aliases are not read")
			continue
		}
		each(k.Value, at)
	}
}

// fields are the keys a mapping may have and what reads them.
type fields map[string]func(cursor)

// mapping reads the mapping at c by its fields and returns the keys that have a value. Unknown keys are faults.
func (c cursor) mapping(known fields) (have []string) {
	var names []string
	for name := range known {
		names = append(names, name)
		c.doc.known[strings.TrimPrefix(c.key+"."+name, ".")] = true
	}
	slices.Sort(names)
	c.entries(func(key string, v cursor) {
		read, ok := known[key]
		if !ok {
			v.report("unknown key", oneOf(names)+didYouMean(key, names))
			return
		}
		if v.absent() {
			return
		}
		have = append(have, key)
		read(v)
	})
	return have
}

// need reports a key that is not among those the mapping at c has. What is no mapping has been reported for that.
func (c cursor) need(have []string, key, want string) {
	if !slices.Contains(have, key) && (c.isMapping() || c.absent()) {
		c.child(key, nil, c.node).report("missing", want)
	}
}

// absent reports whether nothing stands at c, which is the same as leaving the key out.
func (c cursor) absent() bool { return c.node.Kind == yaml.ScalarNode && c.node.Tag == "!!null" }

// first reads one key of the mapping at c ahead of the others, if it is there.
func (c cursor) first(key string, read func(cursor)) {
	if !c.isMapping() {
		return
	}
	for i := 0; i+1 < len(c.node.Content); i += 2 {
		if k, v := c.node.Content[i], c.child(key, c.node.Content[i], c.node.Content[i+1]); k.Value == key && !v.absent() {
			read(v)
			return
		}
	}
}

func (c cursor) isMapping() bool { return c.node.Kind == yaml.MappingNode }

// named calls each for every entry of a mapping whose keys are names of the operator's choice.
func (c cursor) named(each func(name string, v cursor)) {
	c.entries(func(name string, v cursor) {
		v.key = strings.TrimPrefix(c.key+".NAME", ".")
		if !namePattern.MatchString(name) {
			v.report(quote(name)+" as a name", nameWant)
			return
		}
		each(name, v)
	})
}

// maxItems bounds a list.
const maxItems = 4096

// items returns the items of the list at c. It refuses anything but a list, and an empty or a huge one.
func (c cursor) items() []cursor {
	if c.node.Kind != yaml.SequenceNode {
		c.refuse("a list")
		return nil
	}
	if len(c.node.Content) == 0 {
		c.report("an empty list", "at least one item")
		return nil
	}
	if n := len(c.node.Content); n > maxItems {
		c.report(strconv.Itoa(n)+" items", "at most "+strconv.Itoa(maxItems))
		return nil
	}
	var out []cursor
	for i, n := range c.node.Content {
		at := c
		at.node, at.path, at.key = n, fmt.Sprintf("%s[%d]", c.path, i), c.key+"[]"
		if n.Line > 0 {
			at.line = n.Line
		}
		if n.Kind == yaml.AliasNode {
			at.report(show(n), "the value itself: aliases are not read")
			continue
		}
		out = append(out, at)
	}
	return out
}

// list reads every item of the list at c.
func list[T any](c cursor, into *[]T, read func(cursor, *T)) {
	*into = nil
	for _, item := range c.items() {
		var v T
		read(item, &v)
		*into = append(*into, v)
	}
}

// override puts value at a key of a section, whatever the file says there, as a flag or the environment does.
func (c cursor) override(section, key string, value *yaml.Node) {
	at := c.node
	if value == nil {
		return
	}
	word := func(s string, line int) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: line}
	}
	find := func(m *yaml.Node, key string) int {
		for i := 0; i+1 < len(m.Content); i += 2 {
			if m.Content[i].Value == key {
				return i
			}
		}
		return -1
	}
	i := find(at, section)
	if i < 0 {
		i = len(at.Content)
		at.Content = append(at.Content, word(section, 1), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"})
	}
	if at.Content[i+1].Tag == "!!null" {
		at.Content[i+1] = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	if at = at.Content[i+1]; at.Kind != yaml.MappingNode {
		return // reported when the section is read
	}
	if i = find(at, key); i < 0 {
		at.Content = append(at.Content, word(key, 0), value)
		return
	}
	at.Content[i], at.Content[i+1] = word(key, 0), value
}
