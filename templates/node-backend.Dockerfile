# A Node.js backend: Tumulte's four stages, and Pivotal Flow's three where PACKAGE names a package of a pnpm workspace.
# Both the classic builder and BuildKit take it, on Alpine's images and on Debian's.
#
# What the product file's `build.args` can say:
#   OUTPUT   folder that `build` makes; with a package.json of its own it is all that runs (AdonisJS), else everything is
#   PACKAGE  name of the workspace's package to build and run; needs pnpm
#   PORT     what the backend is told to listen on
#   HEALTH   command of the image's own health check
#   USER_NAME  name of the user with the number 1001
#   anything else is a variable of the build alone
ARG NODE=docker.io/library/node:20-alpine

FROM ${NODE} AS init
COPY package.json .dockyard-ca.cr[t] /machine/
RUN if [ -f /machine/.dockyard-ca.crt ]; then cat /machine/.dockyard-ca.crt >> /etc/ssl/certs/ca-certificates.crt; fi \
    && { command -v dumb-init || apk add --no-cache dumb-init; } \
    && cp "$(command -v dumb-init)" /dumb-init

# The lists of packages come first: as long as they stay the same, so do the packages.
FROM ${NODE} AS deps
ARG PACKAGE_MANAGER=npm
ARG PNPM=10.34.9
ARG PACKAGE
ARG npm_config_registry
ARG NODE_EXTRA_CA_CERTS
# CI: pnpm asks nobody, and takes a lockfile as it is.
ENV CI=true npm_config_update_notifier=false npm_config_fund=false
WORKDIR /app
COPY package.json package-lock.jso[n] pnpm-lock.yam[l] pnpm-workspace.yam[l] .npmr[c] .dockyard-ca.cr[t] ./
RUN if [ "$PACKAGE_MANAGER" = pnpm ]; then npm install --global "pnpm@$PNPM"; fi
# A workspace's packages cannot be installed yet, only fetched: its members are not here.
RUN if [ -n "$PACKAGE" ]; then if [ -f pnpm-lock.yaml ]; then pnpm fetch; fi; \
    elif [ "$PACKAGE_MANAGER" = pnpm ]; then pnpm install; \
    elif [ -f package-lock.json ]; then npm ci; else npm install; fi

FROM deps AS builder
ARG PACKAGE_MANAGER
ARG PACKAGE
ARG OUTPUT=build
ARG HEALTH
ARG npm_config_registry
ARG NODE_EXTRA_CA_CERTS
# ARGS
COPY . .
RUN mkdir -p /out/app /out/bin \
    && if [ -n "$PACKAGE" ]; then \
      pnpm install --prefer-offline \
      && pnpm --filter "$PACKAGE..." run --if-present build \
      && pnpm --filter "$PACKAGE" deploy --legacy --prod --prefer-offline /out/app; \
    else "$PACKAGE_MANAGER" run --if-present build; fi
RUN if [ -f docker-entrypoint.sh ]; then install -m 755 docker-entrypoint.sh /out/bin/; fi \
    && if [ -z "$PACKAGE" ]; then \
      rm -rf node_modules .npmrc .dockyard-ca.crt; \
      if [ -f "$OUTPUT/package.json" ]; then cp -a "$OUTPUT/." /out/app/; else cp -a . /out/app/; fi; \
    fi \
    && if [ -z "$HEALTH" ] && [ -f /out/app/ace.js ]; then HEALTH="node ace healthcheck"; fi \
    && printf '#!/bin/sh\n%s || exit 1\n' "${HEALTH:-wget -q -O /dev/null http://127.0.0.1:\$PORT/health}" \
      > /out/bin/healthcheck \
    && chmod 755 /out/bin/healthcheck

FROM deps AS prod-deps
ARG PACKAGE_MANAGER
ARG PACKAGE
ARG npm_config_registry
ARG NODE_EXTRA_CA_CERTS
RUN if [ -n "$PACKAGE" ]; then rm -rf node_modules; \
    elif [ "$PACKAGE_MANAGER" = pnpm ]; then pnpm prune --prod; else npm prune --omit=dev; fi \
    && mkdir -p node_modules

FROM ${NODE} AS production
ARG USER_NAME=nodejs
ARG PORT=3333
ENV NODE_ENV=production HOST=0.0.0.0 PORT=${PORT}
RUN echo "${USER_NAME}:x:1001:1001::/app:/sbin/nologin" >> /etc/passwd && echo "${USER_NAME}:x:1001:" >> /etc/group
WORKDIR /app
COPY --from=init /dumb-init /usr/bin/dumb-init
# The application's docker-entrypoint.sh, where it has one, takes the place of the base image's.
COPY --from=builder /out/bin/ /usr/local/bin/
COPY --from=prod-deps /app/node_modules ./node_modules
COPY --from=builder /out/app ./
USER 1001:1001
EXPOSE ${PORT}
HEALTHCHECK --interval=30s --timeout=10s --start-period=40s --retries=3 CMD ["healthcheck"]
ENTRYPOINT ["dumb-init", "--", "docker-entrypoint.sh"]
CMD ["node", "."]
