-- What may be asked, in the forms that reports, pages and people use.
WITH RECURSIVE p AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM p WHERE x < 10) SELECT * FROM p
WITH a AS MATERIALIZED (FROM rollouts), b AS (FROM a) SELECT count(*) FROM a JOIN b USING (rollout_id) LEFT JOIN b c ON c.text = a.text
SELECT *, row_number() OVER (PARTITION BY problem_id ORDER BY text DESC NULLS LAST ROWS 1 PRECEDING) AS r FROM rollouts QUALIFY r = 1
SELECT lag(text) OVER w, rank() OVER w, sum(sample_index) FILTER (sample_index > 0) OVER w FROM rollouts WINDOW w AS (ORDER BY text)
SELECT unnest([1, 2]), unnest({'a': 1}, recursive := true)
SELECT * FROM unnest(['a', 'b']) WITH ORDINALITY AS t(x, i), range(3) r(j), generate_series(1, 2) g(k), LATERAL (SELECT j + k)
SELECT list_transform([1, 2], lambda x: x + 1), list_filter([1, 2], lambda x, i: x > i), [x * 2 FOR x IN [1, 2] IF x > 1]
SELECT reduce([1, 2], lambda a, b: a + b), list_sort([2, 1]), list_aggregate([1, 2], 'sum'), flatten([[1], [2]])
SELECT recipe::JSON ->> '$.budgets[1]', json_extract(recipe, '$.name'), json_keys(versions), recipe::JSON -> 'name' FROM runs
SELECT * FROM json_each('{"a": 1}'), json_tree('[1]')
SELECT regexp_matches(text, 'a.*'), regexp_extract(text, '(a)', 1), text SIMILAR TO 'a', text ILIKE 'A%', text GLOB 'a*', text ~ 'a' FROM rollouts
FROM (SELECT sample_index, problem_id FROM rollouts) PIVOT (count(*) FOR sample_index IN (0, 1) GROUP BY problem_id)
PIVOT (SELECT sample_index, problem_id FROM rollouts) ON sample_index IN (0, 1) USING count(*)
UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b INTO NAME n VALUE v
SELECT CASE WHEN true THEN 1 END, 1 BETWEEN 0 AND 2, 1 IN (1, 2), EXISTS (SELECT 1), 1 = ANY (SELECT 1), NOT true, 1::DECIMAL(10, 2), TRY_CAST('x' AS INT)
SELECT DISTINCT ON (problem_id) problem_id, text FROM rollouts ORDER BY problem_id DESC, text NULLS FIRST LIMIT 1 OFFSET 1
SELECT text FROM rollouts LIMIT 50%
SELECT text FROM rollouts USING SAMPLE 2
SELECT problem_id, count(DISTINCT text), string_agg(text, ',' ORDER BY text), arg_max(text, sample_index), quantile_cont(sample_index, 0.5) FROM rollouts GROUP BY ROLLUP (problem_id) HAVING count(*) > 1
SELECT grouping(problem_id), count(*) FROM rollouts GROUP BY GROUPING SETS ((problem_id), ()) ORDER BY ALL
SELECT * EXCLUDE (text) REPLACE (sample_index + 1 AS sample_index) RENAME (problem_id AS p) FROM rollouts
SELECT min(COLUMNS('.*_index')), COLUMNS(lambda c: c LIKE 'pro%') FROM rollouts GROUP BY ALL
SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a EXCEPT SELECT 3 INTERSECT SELECT 4
SELECT {'a': 1, 'b': [1, 2]}.b[1], MAP {'x': 1}['x'], [1, 2, 3][1:2], (1, 2), struct_pack(a := 1), 'abc'[1]
SELECT now(), current_date, DATE '2020-01-01' + INTERVAL 1 DAY, extract(year FROM DATE '2020-01-01'), date_trunc('day', now()), strftime(now(), '%Y')
SELECT 7 // 2, 7 % 2, 2 ** 3, 'a' || 'b', 6 & 3, ~1, -(-1), random() < 2, uuid() IS NOT NULL, hash(1), md5('a')
SELECT trim(BOTH ' ' FROM ' a '), substring('abc' FROM 1 FOR 2), position('a' IN 'ba'), printf('%d', 1), split_part('a,b', ',', 1), 'a'.upper().lower()
DESCRIBE rollouts
SUMMARIZE SELECT sample_index FROM rollouts
SHOW TABLES
SHOW ALL TABLES
SELECT column_name FROM information_schema.columns WHERE table_name = 'rollouts'
SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal
FROM main.rollouts SELECT count(*)
TABLE rollouts
VALUES (1, 'COPY x TO y'), (2, 'read_text(''/etc/passwd'')')
SELECT x: 1, type: 'COPY_QUERY_NODE', class: 'COPY', function_name: 'read_text'
SELECT sum_of(sample_index, true), sum(sample_index), histogram(sample_index), median(sample_index), any_value(text) FROM rollouts
SELECT text FROM rollouts ASOF JOIN (SELECT 1 AS i) ON sample_index >= i
