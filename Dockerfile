# syntax=docker/dockerfile:1
# The shop's image: the release build with the features of a shipped one (Kafka over TLS and SASL).

# Full image: librdkafka needs a C compiler and make, the vendored OpenSSL needs perl.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Registry and target stay in the builder's cache, so that a changed line does not rebuild every dependency.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --package madang --release --features kafka-tls \
    && install -D --strip target/release/madang /out/madang

FROM debian:bookworm-slim
# Certificates for Kafka over TLS, a rediss:// Redis and a https:// data platform; curl for the health check.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/madang --create-home madang
COPY --from=build /out/madang /usr/local/bin/madang
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/madang/

USER madang
# All local state lives below it, in madang-data.
WORKDIR /var/lib/madang
VOLUME /var/lib/madang
# Inside a container loopback reaches nobody. With auth.mode = off the shop refuses this address: use JWT.
ENV MADANG_HTTP__LISTEN=0.0.0.0:8083
EXPOSE 8083
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8083/healthz"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["madang"]
CMD ["serve"]
