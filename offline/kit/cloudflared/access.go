package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
)

// access is what a rule says of who may come in.
type access struct {
	Required bool     `json:"required"`
	TeamName string   `json:"teamName"`
	AudTag   []string `json:"audTag"`
}

// verifier lets only requests through that bear a token of a team's Access, for one of these applications.
type verifier struct {
	tokens    *oidc.IDTokenVerifier
	audiences []string
}

// newVerifier takes the team's keys from `certificates`; the official program asks the team's own domain.
func newVerifier(limit access, certificates string) *verifier {
	keys := oidc.NewRemoteKeySet(context.Background(), certificates)
	issuer := fmt.Sprintf("https://%s.cloudflareaccess.com", limit.TeamName)
	return &verifier{oidc.NewVerifier(issuer, keys, &oidc.Config{SkipClientIDCheck: true}), limit.AudTag}
}

// refusal returns the status that a request is refused with, and why: 403 without a token or with one for another
// application, 502 with one that is not valid, which the official program takes for an error of its own.
func (v *verifier) refusal(request *http.Request) (int, error) {
	text := request.Header.Get("Cf-Access-Jwt-Assertion")
	if text == "" {
		return http.StatusForbidden, errors.New("no access token in request")
	}
	token, err := v.tokens.Verify(request.Context(), text)
	if err != nil {
		return http.StatusBadGateway, fmt.Errorf("error while processing middleware handler AccessJWTValidator: %w", err)
	}
	if !slices.ContainsFunc(token.Audience, func(one string) bool { return slices.Contains(v.audiences, one) }) {
		return http.StatusForbidden, fmt.Errorf("Invalid token in jwt: %v", token.Audience)
	}
	return 0, nil
}
