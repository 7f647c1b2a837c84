"use strict";

const express = require("express");

const app = express();
const message = "Hello from Express";

app.get("/", (request, response) => response.type("text/plain").send(`${message}\n`));
app.get("/slow", (request, response) => setTimeout(() => response.json({ slow: true }), 1000));
app.get("/headers", (request, response) => response.json(request.headers));

const server = app.listen(process.env.PORT || 3000, () => console.log(`listening on ${server.address().port}`));

// Finishes what it holds, then leaves.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
