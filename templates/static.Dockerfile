# A frontend of files: built by Node.js where there is a package.json, served by nginx 1.27 as nobody special, with a
# read-only root file system. Pivotal Flow's frontend (PORT 8080) and the dating app's web app (PORT 80).
# Both the classic builder and BuildKit take it, on Alpine's images and on Debian's.
#
# What the product file's `build.args` can say: PORT, OUTPUT (the folder that `build` makes); anything else is a
# variable of the build alone.
ARG NODE=docker.io/library/node:20-alpine
ARG NGINX=docker.io/library/nginx:1.27-alpine

FROM ${NODE} AS builder
ARG PACKAGE_MANAGER=npm
ARG PNPM=10.34.9
ARG npm_config_registry
ARG NODE_EXTRA_CA_CERTS
# CI: pnpm asks nobody, and takes a lockfile as it is.
ENV CI=true npm_config_update_notifier=false npm_config_fund=false
WORKDIR /app
# The lists of packages come first: as long as they stay the same, so do the packages.
COPY package.jso[n] index.htm[l] package-lock.jso[n] pnpm-lock.yam[l] pnpm-workspace.yam[l] .npmr[c] .dockyard-ca.cr[t] ./
RUN if [ "$PACKAGE_MANAGER" = pnpm ]; then npm install --global "pnpm@$PNPM"; fi
RUN if [ ! -f package.json ]; then exit 0; \
    elif [ "$PACKAGE_MANAGER" = pnpm ]; then pnpm install; \
    elif [ -f package-lock.json ]; then npm ci; else npm install; fi
# ARGS
COPY . .
ARG OUTPUT=dist
RUN mkdir /site \
    && if [ -f package.json ]; then "$PACKAGE_MANAGER" run build && cp -a "$OUTPUT/." /site/; \
    else rm -f .dockyard-ca.crt && cp -a . /site/; fi
# What bundlers put under these folders has its content's hash in its name; everything else is asked for anew.
# Two workers: they fit into the dating app's 128 MB whatever the number of cores.
ARG PORT=8080
RUN printf '%s\n' \
    'worker_processes 2;' \
    'daemon off;' \
    'pid /tmp/nginx.pid;' \
    'error_log /dev/stderr warn;' \
    'events { worker_connections 1024; }' \
    'http {' \
    '    include /etc/nginx/mime.types;' \
    '    default_type application/octet-stream;' \
    '    access_log /dev/stdout;' \
    '    client_body_temp_path /tmp/client;' \
    '    proxy_temp_path /tmp/proxy;' \
    '    fastcgi_temp_path /tmp/fastcgi;' \
    '    uwsgi_temp_path /tmp/uwsgi;' \
    '    scgi_temp_path /tmp/scgi;' \
    '    sendfile on;' \
    '    tcp_nopush on;' \
    '    server_tokens off;' \
    '    gzip on;' \
    '    gzip_vary on;' \
    '    gzip_min_length 1024;' \
    '    gzip_types text/css text/plain text/javascript application/javascript application/json application/xml' \
    '        application/manifest+json application/wasm image/svg+xml;' \
    '    server {' \
    "        listen $PORT;" \
    '        root /usr/share/nginx/html;' \
    '        absolute_redirect off;' \
    '        location = /health {' \
    '            access_log off;' \
    '            default_type text/plain;' \
    '            return 200 "ok\n";' \
    '        }' \
    '        location ~ ^/(assets|static|_nuxt|_next/static)/ {' \
    '            add_header Cache-Control "public, max-age=31536000, immutable";' \
    '            add_header X-Content-Type-Options nosniff;' \
    '            try_files $uri =404;' \
    '        }' \
    '        location / {' \
    '            add_header Cache-Control no-cache;' \
    '            add_header X-Content-Type-Options nosniff;' \
    '            try_files $uri $uri/ /index.html;' \
    '        }' \
    '    }' \
    '}' \
    > /nginx.conf

FROM ${NGINX} AS production
ARG PORT=8080
ENV PORT=${PORT}
COPY --from=builder /nginx.conf /etc/nginx/nginx.conf
COPY --from=builder /site /usr/share/nginx/html
# The image's own user `nginx`. Docker lets any user listen on port 80 since 20.10.
USER 101:101
EXPOSE ${PORT}
HEALTHCHECK --interval=30s --timeout=5s --retries=3 CMD wget -q -O /dev/null "http://127.0.0.1:$PORT/health" || exit 1
ENTRYPOINT []
CMD ["nginx"]
