"""What the routes take and answer, for programs and for people: `GET /openapi.json` and `GET /docs`."""
