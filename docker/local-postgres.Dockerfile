# Postgres from Debian, for docker/local-images.sh. Takes POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD.
FROM capybara-base:local
RUN apt-get update \
  && apt-get install -y --no-install-recommends postgresql \
  && apt-get clean && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
  && ln -s /usr/lib/postgresql/*/bin /opt/postgresql \
  && chown postgres:postgres /var/lib/postgresql
ENV PATH=/opt/postgresql:$PATH PGDATA=/var/lib/postgresql/data
COPY local-postgres.sh /usr/local/bin/
USER postgres
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["local-postgres.sh"]
CMD ["postgres"]
