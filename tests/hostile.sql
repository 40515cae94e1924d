-- Statements that write, bare
COPY (SELECT 1 x) TO '{part}' (FORMAT parquet)
COPY problems TO '{new}.csv'
COPY problems TO '{new}.json' (FORMAT json)
COPY problems FROM '{part}'
COPY (SELECT 1 x) TO '{folder}' (FORMAT parquet, PARTITION_BY (x), OVERWRITE_OR_IGNORE)
COPY (SELECT 1 x) TO '/dev/stdout' (FORMAT csv)
COPY FROM DATABASE memory TO other
EXPORT DATABASE '{new}'
IMPORT DATABASE '{folder}'
ATTACH '{new}.db' AS other
ATTACH '{part}' AS other (READ_ONLY)
ATTACH ':memory:' AS other
ATTACH IF NOT EXISTS '{new}.db'
DETACH memory
USE memory
INSTALL httpfs
FORCE INSTALL httpfs FROM 'https://example.com'
LOAD httpfs
LOAD '{new}.duckdb_extension'
UPDATE EXTENSIONS
SET allowed_paths = ['{part}']
SET enable_external_access = true
SET GLOBAL lock_configuration = false
SET VARIABLE x = 1
SET schema = 'main'
RESET threads
RESET allowed_paths
RESET VARIABLE x
PRAGMA enable_profiling
PRAGMA database_size
PRAGMA import_database('{folder}')
PRAGMA profiling_output = '{new}.json'
PRAGMA json_execute_serialized_sql('{}')
PRAGMA version
CALL pragma_version()
CALL checkpoint()
CALL enable_logging(storage = 'file', storage_path = '{folder}')
CALL force_checkpoint()
CALL enable_profiling()
CHECKPOINT
FORCE CHECKPOINT memory
VACUUM
VACUUM ANALYZE stored_runs
ANALYZE
CREATE TABLE mine AS SELECT 1
CREATE TEMP TABLE mine (x INT)
CREATE OR REPLACE VIEW problems AS SELECT 1 AS x
CREATE MACRO m() AS 1
CREATE OR REPLACE MACRO sum_of(a, b) AS 0
CREATE MACRO m(p) AS TABLE SELECT * FROM read_text(p)
CREATE SCHEMA s
CREATE SEQUENCE s
CREATE TYPE t AS ENUM ('a')
CREATE INDEX i ON stored_runs (run_id)
CREATE SECRET s (TYPE s3, KEY_ID 'x', SECRET 'y')
CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')
DROP SECRET s
ALTER TABLE stored_runs ADD COLUMN x INT
ALTER VIEW problems RENAME TO p
COMMENT ON TABLE stored_runs IS 'x'
INSERT INTO stored_runs (run_id) VALUES ('x')
INSERT INTO stored_runs BY NAME SELECT 'x' AS run_id
UPDATE stored_runs SET status = 'complete'
DELETE FROM stored_runs
TRUNCATE stored_runs
MERGE INTO stored_runs r USING (SELECT 'x' AS run_id) n ON r.run_id = n.run_id WHEN NOT MATCHED THEN INSERT (run_id) VALUES ('x')
DROP VIEW problems
DROP TABLE stored_runs CASCADE
BEGIN TRANSACTION
COMMIT
ROLLBACK
ABORT
PREPARE p AS COPY (SELECT 1 x) TO '{part}'
PREPARE p AS SELECT 1
EXECUTE p
DEALLOCATE p
EXECUTE p('{part}')

-- Statements that run what they explain
EXPLAIN SELECT 1
EXPLAIN ANALYZE COPY (SELECT 1 x) TO '{part}'
EXPLAIN ANALYZE DELETE FROM stored_runs
EXPLAIN (ANALYZE, FORMAT json) CREATE TABLE mine AS SELECT 1
EXPLAIN COPY (SELECT 1 x) TO '{new}'

-- Several statements
SELECT 1; COPY (SELECT 1 x) TO '{part}'
SELECT 1; DROP VIEW problems
SELECT 1; SELECT 2
; ; SELECT 1; ROLLBACK
SELECT 1 /* ; */; COMMIT -- SELECT
COMMIT; COPY (SELECT 1 x) TO '{part}'

-- Writes as common table expressions
WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1
WITH a AS (COPY (SELECT 1 x) TO '{part}' (FORMAT parquet, USE_TMP_FILE false)) SELECT 1
WITH a AS (COPY (SELECT 1 x) TO '{new}' (FORMAT csv)) SELECT 1
WITH a AS (INSERT INTO stored_runs (run_id) VALUES ('x') RETURNING run_id) SELECT 1
WITH a AS (UPDATE stored_runs SET status = 'x' RETURNING run_id) SELECT 1
WITH a AS (DELETE FROM stage_uses RETURNING run_id) SELECT 1
WITH a AS (COPY (SELECT 1 x) TO '{part}') FROM a
WITH a AS MATERIALIZED (COPY (SELECT 1 x) TO '{part}') SELECT 1
WITH a AS NOT MATERIALIZED (COPY (SELECT 1 x) TO '{part}') SELECT * FROM a
WITH RECURSIVE a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1
WITH b AS (SELECT 1), a AS (COPY (SELECT 1 x) TO '{part}'), d AS (SELECT 2) SELECT * FROM b, d
SELECT * FROM (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT 1 WHERE EXISTS (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT 1 WHERE 1 IN (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT 1 UNION ALL (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
(WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1) EXCEPT SELECT 2
SELECT * FROM range(1), LATERAL (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT [x FOR x IN (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT [1])]
SELECT CASE WHEN true THEN (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1) END
SELECT count(*) FILTER (WHERE (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT true)) FROM runs
SELECT sum(1) OVER (ORDER BY (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)) FROM runs
SELECT 1 ORDER BY (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT 1 LIMIT (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT 1 GROUP BY (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
SELECT 1 AS x HAVING (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT true)
SELECT 1 AS x QUALIFY (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT true)
VALUES ((WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1))
FROM (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1 x) PIVOT (sum(x) FOR x IN (1))
UNPIVOT (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1 x) ON x
SELECT ARRAY(WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1)
WITH outer_one AS (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1) FROM outer_one
SELECT * FROM runs JOIN (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1 x) t ON true
DESCRIBE WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1
SUMMARIZE WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1
SELECT * FROM unnest((WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT [1]))
SELECT list_transform([1], lambda x: (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1))
wItH a aS (cOpY (SELECT 1 x) tO '{part}') SELECT 1
WITH/**/a/**/AS/**/(COPY/**/(SELECT 1 x)/**/TO/**/'{part}')/**/SELECT/**/1
WITH a AS (COPY problems FROM '{part}') SELECT 1
WITH a AS (MERGE INTO stored_runs r USING (SELECT 'x' AS run_id) n ON r.run_id = n.run_id WHEN MATCHED THEN DELETE RETURNING *) FROM a
SELECT * FROM (COPY (SELECT 1 x) TO '{part}')
SELECT * FROM (INSERT INTO stored_runs (run_id) VALUES ('x'))
COPY (WITH a AS (COPY (SELECT 1 x) TO '{part}') SELECT 1) TO '{new}'
SELECT 1 INTO OUTFILE '{new}'
SELECT 1 AS x INTO mine

-- SQL given as text
FROM query('SELECT 1')
FROM query('COPY (SELECT 1 x) TO ''{part}''')
FROM query('WITH a AS (COPY (SELECT 1 x) TO ''{part}'') SELECT 1')
SELECT * FROM QUERY('SELECT ' || '1')
SELECT (FROM query('SELECT 1'))
FROM system.main.query('SELECT 1')
FROM "query"('SELECT 1')
FROM query_table('{part}')
FROM query_table('problems')
FROM query_table(['problems', '{part}'])
WITH a AS (FROM query_table('{part}')) FROM a
FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
FROM json_execute_serialized_sql(json_serialize_sql('WITH a AS (COPY (SELECT 1 x) TO ''{part}'') SELECT 1'))
SELECT json_serialize_plan('SELECT * FROM read_text(''{part}'')')
SELECT * FROM json_execute_serialized_sql('{"error": false}')
SELECT json_execute_serialized_sql('x')
FROM histogram('{part}', 'x')
FROM histogram_values('{part}', 'x')
FROM summary((FROM problems))

-- Functions that read files
SELECT * FROM read_text('{part}')
SELECT * FROM read_blob('{part}')
SELECT * FROM read_parquet('{part}')
SELECT * FROM read_parquet(['{part}'])
SELECT * FROM parquet_scan('{part}')
SELECT * FROM read_csv('{outside}')
SELECT * FROM read_csv_auto('{outside}')
SELECT * FROM read_csv(['{outside}'], header = false)
SELECT * FROM read_json('{outside}')
SELECT * FROM read_json_auto('{outside}')
SELECT * FROM read_json_objects('{outside}')
SELECT * FROM read_ndjson('{outside}')
SELECT * FROM read_ndjson_auto('{outside}')
SELECT * FROM read_ndjson_objects('{outside}')
SELECT * FROM read_duckdb('{outside}')
SELECT * FROM read_single_csv_file('{outside}')
SELECT * FROM read_single_json_file('{outside}')
SELECT * FROM read_single_parquet_file('{orphan}')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM read_blob('/proc/self/environ')
SELECT * FROM read_text('/proc/self/fd/0')
SELECT * FROM read_csv('/dev/stdin')
SELECT * FROM read_text('~/.netrc')
SELECT * FROM read_parquet('{folder}/*.parquet')
SELECT * FROM read_parquet('{folder}/**')
SELECT * FROM read_parquet('{orphan}')
SELECT * FROM read_text('file://{part}')
SELECT * FROM read_csv('https://example.com/x.csv')
SELECT * FROM read_parquet('s3://bucket/x.parquet')
SELECT * FROM read_blob('parts://sample-1/../../x')
SELECT * FROM read_parquet('{known}')
SELECT * FROM read_text('{known}')
SELECT * FROM glob('*')
SELECT * FROM glob('{folder}/*')
SELECT * FROM glob('parts://*')
SELECT * FROM sniff_csv('{outside}')
SELECT * FROM parquet_metadata('{part}')
SELECT * FROM parquet_schema('{part}')
SELECT * FROM parquet_file_metadata('{part}')
SELECT * FROM parquet_full_metadata('{part}')
SELECT * FROM parquet_kv_metadata('{part}')
SELECT * FROM parquet_bloom_probe('{part}', 'x', 1)
SELECT * FROM parquet_metadata('{orphan}')
SELECT (SELECT content FROM read_text('{part}'))
WITH a AS (FROM read_text('{part}')) SELECT 1
SELECT 1 UNION SELECT content FROM read_text('{part}')
SELECT 1 WHERE EXISTS (FROM glob('{part}'))
FROM READ_TEXT('{part}')
FROM system.main.read_text('{part}')
FROM "read_text"('{part}')
SELECT * FROM range(1) t, read_text('{part}')
SELECT * FROM problems, LATERAL (FROM read_text(problem_id))
DESCRIBE FROM read_parquet('{part}')
SUMMARIZE FROM read_parquet('{part}')
SELECT read_text('{part}')
SELECT '{part}'.read_text()
SELECT list_transform(['{part}'], lambda p: (FROM read_text(p)))
FROM read_text((SELECT '{part}'))
SELECT glob('{part}')

-- Names of files as tables
SELECT * FROM '{part}'
SELECT * FROM "{part}"
SELECT * FROM '{orphan}'
SELECT * FROM '{outside}'
SELECT * FROM '/etc/passwd.csv'
SELECT * FROM '{folder}/*.parquet'
SELECT * FROM '*.parquet'
SELECT * FROM 'https://example.com/x.parquet'
SELECT * FROM 's3://bucket/x.parquet'
SELECT * FROM 'file:///etc/passwd.csv'
SELECT * FROM '{known}'
SELECT * FROM data.parquet
SELECT * FROM folder.data.csv
SELECT * FROM "data.parquet" AS problems
SELECT * FROM 'x.jsonl.gz'
SELECT * FROM '~/x.csv'
SELECT * FROM 'data.db'
SELECT * FROM '..\x.parquet'
SELECT * FROM main."{part}"
DESCRIBE '{part}'
SUMMARIZE '{part}'
TABLE '{part}'
SELECT * FROM problems JOIN '{part}' ON true
SELECT 1 WHERE 1 IN (SELECT sample_index FROM '{part}')
WITH "{part}" AS (SELECT 1) SELECT * FROM '{orphan}'
FROM '{part}' PIVOT (count(*) FOR sample_index IN (0))
SHOW '{part}'

-- Environment, settings, secrets, memory
SELECT getenv('HOME')
SELECT system.main.getenv('PATH')
SELECT current_setting('secret_directory')
SELECT current_setting('allowed_paths')
FROM duckdb_settings()
FROM pg_catalog.pg_settings
FROM pg_settings
FROM duckdb_secrets()
FROM duckdb_secrets
FROM which_secret('s3://x', 's3')
FROM duckdb_extensions()
FROM duckdb_databases()
FROM duckdb_logs
FROM duckdb_logs()
FROM duckdb_temporary_files()
FROM duckdb_memory()
FROM duckdb_variables()
FROM duckdb_external_file_cache()
FROM pragma_database_list
FROM pragma_database_size()
FROM pragma_storage_info('stored_runs')
FROM sqlite_master
SELECT getvariable('x')
SELECT current_query()
SELECT nextval('s')
SELECT currval('s')
SELECT setval('s', 1)
SELECT setseed(0.5)
SELECT sleep_ms(10)
SELECT pg_sleep(1)
SELECT write_log('x')
SELECT write_log('x', log_type := 'y')
FROM enable_logging('x')
FROM disable_logging()
FROM truncate_duckdb_logs()
FROM checkpoint()
FROM force_checkpoint()
FROM enable_profiling()
SELECT stats(1)
FROM arrow_scan(1, 2, 3)
FROM arrow_scan_dumb(1, 2, 3)
FROM python_arrow_scan(1)
FROM pandas_scan(1)
FROM python_map_function(1)
FROM seq_scan('stored_runs')
FROM pragma_user_agent()
FROM pragma_platform()
FROM register_external_resource('x')
FROM create_external_resource('x')
FROM test_all_types()
SELECT * FROM problems WHERE problem_id = ?
SELECT $1
SELECT __internal_decompress_string(1)
