# The image of dblink-proxy; docs/container.md tells how to run it. Nothing here needs BuildKit.
#
# BASE_IMAGE builds and, unless RUNTIME_IMAGE says otherwise, runs the proxy. It needs Node >= 20.12, npm and a shell;
# RUNTIME_IMAGE needs `node` on its PATH and nothing else: the last stage runs no command. The digest says which image exactly,
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

FROM ${RUNTIME_IMAGE}
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
