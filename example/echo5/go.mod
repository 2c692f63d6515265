module github.com/echo-m2m/m2m/example/echo5

go 1.26.4

require (
	github.com/echo-m2m/m2m v0.0.0
	github.com/labstack/echo/v5 v5.4.4
)

replace github.com/echo-m2m/m2m => ../..
