package sqlstore

import (
	"errors"
	"regexp"
)

// tables is how the names of all tables and indexes begin in the statements here.
const tables = "m2m_"

var validName = regexp.MustCompile(`^[a-z0-9_]{1,20}$`)

// prefix is how the names begin in the database.
func (c Config) prefix() (string, error) {
	switch {
	case c.Name == "":
		return tables, nil
	case !validName.MatchString(c.Name):
		return "", errors.New("sqlstore: Config.Name has 1 to 20 characters of a to z, 0 to 9 and _")
	}
	return tables + c.Name + "_", nil
}
