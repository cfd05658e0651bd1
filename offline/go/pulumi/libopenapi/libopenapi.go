// Package libopenapi stands in for the OpenAPI library of the same name in the Pulumi CLI that is built here.
//
// Only `pulumi api`, which describes Pulumi Cloud's own HTTP API, uses that library; it alone takes a fifth of the
// build, and where the CLI has to be built there is no Pulumi Cloud in reach. NewDocument therefore refuses, and the
// types hold just the fields that the CLI's source names, so that it compiles unchanged.
package libopenapi

import (
	"errors"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

var errLeftOut = errors.New("this pulumi was built without the OpenAPI reader: use the official release for `pulumi api`")

// Document is what NewDocument would return.
type Document struct{}

// DocumentModel is what BuildV3Model would return.
type DocumentModel struct{ Model v3.Document }

// NewDocument always fails.
func NewDocument([]byte) (*Document, error) { return nil, errLeftOut }

// BuildV3Model always fails.
func (*Document) BuildV3Model() (*DocumentModel, error) { return nil, errLeftOut }
