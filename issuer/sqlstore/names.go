package sqlstore

import (
	"errors"
	"regexp"
)

// tables is the prefix of all tables and indexes in the statements of this package.
const tables = "m2m_"

var validName = regexp.MustCompile(`^[a-z0-9_]{1,20}$`)

// prefix returns the prefix in the database.
func (c Config) prefix() (string, error) {
	switch {
	case c.Name == "":
		return tables, nil
	case !validName.MatchString(c.Name):
		return "", errors.New("sqlstore: Config.Name: write 1 to 20 characters of a to z, 0 to 9 and _")
	}
	return tables + c.Name + "_", nil
}
