# A Nuxt frontend that renders on the server: Tumulte's two stages.
# Both the classic builder and BuildKit take it, on Alpine's images and on Debian's.
#
# What the product file's `build.args` can say: PORT; anything else is a variable of the build alone.
ARG NODE=docker.io/library/node:20-alpine

FROM ${NODE} AS builder
ARG PACKAGE_MANAGER=npm
ARG PNPM=10.34.9
ARG npm_config_registry
ARG NODE_EXTRA_CA_CERTS
# CI: pnpm asks nobody, and takes a lockfile as it is.
ENV CI=true NUXT_TELEMETRY_DISABLED=1 npm_config_update_notifier=false npm_config_fund=false
WORKDIR /app
# The lists of packages come first: as long as they stay the same, so do the packages.
COPY package.json package-lock.jso[n] pnpm-lock.yam[l] pnpm-workspace.yam[l] .npmr[c] .dockyard-ca.cr[t] ./
RUN if [ "$PACKAGE_MANAGER" = pnpm ]; then npm install --global "pnpm@$PNPM"; fi
RUN if [ "$PACKAGE_MANAGER" = pnpm ]; then pnpm install; \
    elif [ -f package-lock.json ]; then npm ci; else npm install; fi
# ARGS
COPY . .
RUN "$PACKAGE_MANAGER" run build

# Nuxt's output carries the packages that it needs.
FROM ${NODE} AS production
ARG PORT=3000
ENV NODE_ENV=production HOST=0.0.0.0 PORT=${PORT}
RUN echo "nodejs:x:1001:1001::/app:/sbin/nologin" >> /etc/passwd && echo "nodejs:x:1001:" >> /etc/group
WORKDIR /app
COPY --from=builder /app/.output ./.output
USER 1001:1001
EXPOSE ${PORT}
HEALTHCHECK --interval=30s --timeout=10s --start-period=40s --retries=3 \
    CMD wget -q -O /dev/null "http://127.0.0.1:$PORT/health" || exit 1
CMD ["node", ".output/server/index.mjs"]
