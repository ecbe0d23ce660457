package sim

import (
	"maps"
	"time"
)

// Credentials are either a user's, with the project, or an application
// credential.
type Credentials struct {
	User, Password, Project string
	// ID and Secret are an application credential.
	ID, Secret string
}

// Authenticate issues a token, and says until when it is good.
func (c *Cloud) Authenticate(now time.Time, cred Credentials) (string, time.Time, error) {
	c.lock(now)
	defer c.mu.Unlock()
	if !c.accepts(cred) {
		return "", time.Time{}, failf(statusUnauthorized, "The request you have made requires authentication.")
	}
	maps.DeleteFunc(c.tokens, func(_ string, expires time.Time) bool { return !expires.After(c.now) })
	token := "sim-tok-" + c.hexID(24)
	c.tokens[token] = c.now.Add(c.cfg.TokenLife)
	return token, c.tokens[token], nil
}

// TokenExpires returns when a token ceases to be good; false if it is not.
func (c *Cloud) TokenExpires(now time.Time, token string) (time.Time, bool) {
	c.lock(now)
	defer c.mu.Unlock()
	expires, found := c.tokens[token]
	return expires, found && expires.After(c.now)
}

// Revoke takes a token back.
func (c *Cloud) Revoke(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tokens, token)
}

// SetPassword changes the user's password; tokens stay good.
func (c *Cloud) SetPassword(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg.Password = password
}

func (c *Cloud) accepts(cred Credentials) bool {
	if cred.ID != "" {
		return cred.ID == c.cfg.CredentialID && cred.Secret == c.cfg.CredentialSecret
	}
	user := cred.User == c.cfg.User || cred.User == c.userID
	project := cred.Project == "" || cred.Project == c.cfg.Project || cred.Project == c.projectID
	return user && project && cred.Password == c.cfg.Password
}
