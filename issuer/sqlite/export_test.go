package sqlite

var Source = source
