// What `nuxt build` leaves behind: a server, and beside it the packages that it needs. Nuxt itself takes a minute.
import { cpSync, mkdirSync, writeFileSync } from "node:fs";

mkdirSync(".output/server/node_modules", { recursive: true });
cpSync("node_modules/is-number", ".output/server/node_modules/is-number", { recursive: true });
cpSync("server.mjs", ".output/server/index.mjs");
writeFileSync(".output/site.json", JSON.stringify({ site: process.env.NUXT_SITE }));
