// Package base holds the schema fields that the CLI's source names.
package base

import (
	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Low is the low-level schema, of which only the hash is asked.
type Low struct{}

// Hash tells schemas apart; 0 means unknown.
func (*Low) Hash() uint64 { return 0 }

// Discriminator tells the variants of a union apart.
type Discriminator struct {
	PropertyName string
	Mapping      *orderedmap.Map[string, string]
}

// SchemaOrBool is a schema (A) or a boolean.
type SchemaOrBool struct{ A *SchemaProxy }

// IsA says that it is a schema.
func (s *SchemaOrBool) IsA() bool { return s.A != nil }

// Info is a document's head.
type Info struct{ Version string }

// SchemaProxy is a reference to a schema.
type SchemaProxy struct{}

// Schema resolves the reference; nothing is ever read, so there is none.
func (*SchemaProxy) Schema() *Schema { return nil }

// Schema is a JSON schema.
type Schema struct {
	Type                 []string
	AllOf, OneOf, AnyOf  []*SchemaProxy
	Properties           *orderedmap.Map[string, *SchemaProxy]
	AdditionalProperties *SchemaOrBool
	Items                *SchemaOrBool
	Discriminator        *Discriminator
	Required             []string
	Description          string
	Format, Pattern      string
	Nullable, ReadOnly   *bool
	MinLength, MaxLength *int64
	Minimum, Maximum     *float64
	MultipleOf           *float64
	Default              *yaml.Node
	Enum                 []*yaml.Node
	Extensions           *orderedmap.Map[string, *yaml.Node]
}

// GoLow returns the low-level schema.
func (*Schema) GoLow() *Low { return nil }

// MarshalJSONInline renders nothing.
func (*Schema) MarshalJSONInline() ([]byte, error) { return []byte("null"), nil }
