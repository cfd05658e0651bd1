// What AdonisJS does: build/ holds all that runs, its own package.json included.
import { copyFileSync, mkdirSync } from "node:fs";
import "is-odd";

mkdirSync("build");
for (const file of ["package.json", "server.js", "ace.js"]) copyFileSync(file, `build/${file}`);
