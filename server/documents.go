package server

import "github.com/labstack/echo/v4"

func (s *Server) documents(e *echo.Echo) {}
