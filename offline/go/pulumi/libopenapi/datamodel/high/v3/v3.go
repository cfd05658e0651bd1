// Package v3 holds the OpenAPI 3 fields that the CLI's source names.
package v3

import (
	"github.com/pb33f/libopenapi/datamodel/high/base"
	"github.com/pb33f/libopenapi/orderedmap"
	"go.yaml.in/yaml/v4"
)

// Document is an OpenAPI document.
type Document struct {
	Info       *base.Info
	Components *Components
	Paths      *Paths
}

// Components are the shared schemas.
type Components struct {
	Schemas *orderedmap.Map[string, *base.SchemaProxy]
}

// Paths are the document's paths.
type Paths struct {
	PathItems *orderedmap.Map[string, *PathItem]
}

// PathItem is one path's operations.
type PathItem struct{ Get, Post, Put, Delete, Patch, Head *Operation }

// Operation is one method of one path.
type Operation struct {
	OperationId, Summary, Description string
	Tags                              []string
	Parameters                        []*Parameter
	RequestBody                       *RequestBody
	Responses                         *Responses
	Deprecated                        *bool
	Extensions                        *orderedmap.Map[string, *yaml.Node]
}

// Parameter is one parameter.
type Parameter struct {
	Name, In, Description string
	Required              *bool
	Schema                *base.SchemaProxy
}

// RequestBody is what a request carries.
type RequestBody struct {
	Content *orderedmap.Map[string, *MediaType]
}

// Responses are the answers by status code.
type Responses struct {
	Codes   *orderedmap.Map[string, *Response]
	Default *Response
}

// Response is one answer.
type Response struct {
	Description string
	Content     *orderedmap.Map[string, *MediaType]
}

// MediaType is a body's schema.
type MediaType struct{ Schema *base.SchemaProxy }
