# The page's scripts and styles.
FROM node:24-slim AS page
WORKDIR /source/serving/web
COPY serving/web/package.json serving/web/package-lock.json serving/web/.npmrc ./
RUN npm ci
COPY serving/web ./
COPY serving/templates ../templates
COPY serving/words ../words
COPY serving/ramp.json ../
RUN npm run build
# Beside each text its gzip: the server then compresses nothing while it runs.
RUN find ../static -type f -size +1k ! -name '*.png' -exec gzip -9kfn {} +

# Python packages: only what serving needs, and bytecode of those modules alone that it imports.
FROM python:3.12-slim AS packages
WORKDIR /source
# Extras of the package, as --build-arg EXTRAS=traces.
ARG EXTRAS=
COPY pyproject.toml constraints.txt LICENSE NOTICE ./
COPY serving ./serving
COPY --from=page /source/serving/static ./serving/static
RUN python -m venv --without-pip /opt/lesionlens \
 && pip --python /opt/lesionlens/bin/python --no-cache-dir --disable-pip-version-check \
    install --quiet --no-compile -c constraints.txt ".${EXTRAS:+[$EXTRAS]}" \
 && /opt/lesionlens/bin/python -P -m serving.modules

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin lesionlens
COPY --from=packages /opt/lesionlens /opt/lesionlens
COPY artifacts /opt/lesionlens/artifacts
ENV PATH=/opt/lesionlens/bin:$PATH \
    LESIONLENS_ARTIFACTS=/opt/lesionlens/artifacts \
    PORT=8000 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /opt/lesionlens
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + (os.environ.get('LESIONLENS_PORT') or os.environ['PORT']) + '/healthz', timeout=4)"]
# PORT is the platform's to say; without a shell between, its signals reach the server.
CMD ["lesionlens", "serve", "--host", "0.0.0.0"]
