# The image of dblink-proxy; docs/container.md tells how to run it. Nothing here needs BuildKit.
#
# BASE_IMAGE builds and, unless RUNTIME_IMAGE says otherwise, runs the proxy. It needs Node >= 20.12, npm and a shell;
# RUNTIME_IMAGE needs `node` on its PATH and nothing else: the last stage runs no command. `without-shell` is a stage of this file: Node with
# the libraries that it needs, and nothing else. The digest says which image exactly,
# whatever its tag comes to mean; .ci/renew-base-image renews it.
ARG BASE_IMAGE=node:22-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c
ARG RUNTIME_IMAGE=${BASE_IMAGE}

FROM ${BASE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No scripts: `prepare` would compile sources that are not here yet, and no package that the build uses needs one.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build
# What the image will contain, put together in one place: few layers, and no compiler or development package in any of
# them. The optional packages, which stay out, are the embedded PostgreSQL servers: a container has a real primary.
# The configuration file is an empty one, to be covered by a mounted one; the environment alone is enough too.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
 && mkdir -p /image/opt/dblink-proxy/dist /image/etc/dblink-proxy \
 && cp -R package.json LICENSE bin docker node_modules /image/opt/dblink-proxy/ \
 && cp -R dist/bin dist/src /image/opt/dblink-proxy/dist/ \
 && mv /image/opt/dblink-proxy/docker/config.yaml /image/etc/dblink-proxy/ \
 && rm /image/opt/dblink-proxy/bin/*.ts

FROM ${BASE_IMAGE} AS bare
# All files that Node is linked with, the certificate authorities, and the place for temporary files.
RUN mkdir -p /bare/usr/local/bin /bare/etc/ssl/certs /bare/tmp && chmod 1777 /bare/tmp \
 && node=$(node -p process.execPath) && cp -L "$node" /bare/usr/local/bin/node \
 && for library in $(ldd "$node" | grep -o '/[^ )]*'); do mkdir -p "/bare$(dirname "$library")" && cp -L "$library" "/bare$library"; done \
 && if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt /bare/etc/ssl/certs/; fi \
 && echo 'hosts: files dns' > /bare/etc/nsswitch.conf

FROM scratch AS without-shell
COPY --from=bare /bare /

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="dblink-proxy" \
      org.opencontainers.image.description="A PostgreSQL proxy that carries out the calls of dblink itself" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /image /
WORKDIR /opt/dblink-proxy
ENV NODE_ENV=production \
    DBLINK_PROXY_CONFIG=/etc/dblink-proxy/config.yaml
# A number, since Kubernetes' runAsNonRoot cannot check a name. The user owns nothing and needs to write nothing.
USER 10001:10001
EXPOSE 6432
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["node", "docker/healthcheck.mjs"]
ENTRYPOINT ["node", "bin/dblink-proxy"]
CMD ["start"]
