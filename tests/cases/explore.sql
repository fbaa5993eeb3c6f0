SELECT 1
SELECT 1 AS a, 'it''s' AS b, NULL AS c, TRUE AS d, 1.5 AS e, -2 AS f
SELECT COUNT(*) FROM events
SELECT count(*) AS n, COUNT(duration_ms), COUNT(DISTINCT user_id_hash) FROM events
SELECT event_name, COUNT(*) AS n FROM events GROUP BY event_name ORDER BY n DESC, event_name LIMIT 5
SELECT event_name, COUNT(*) AS n FROM events GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5 OFFSET 2
SELECT event_name, channel, COUNT(*) FROM events GROUP BY ALL
SELECT EVENT_NAME, COUNT(*) AS N FROM Events GROUP BY Event_Name ORDER BY n, event_name
SELECT e.event_name FROM events e WHERE e.duration_ms > 100 AND (e.channel = 'server' OR e.channel = 'web')
SELECT event_name FROM events WHERE NOT channel = 'server' AND duration_ms IS NOT NULL
SELECT event_name FROM events WHERE duration_ms BETWEEN 10 AND 50 AND channel IN ('server', 'web')
SELECT event_name FROM events WHERE channel NOT IN ('server') AND event_name LIKE 'context%'
SELECT event_name FROM events WHERE event_name ILIKE 'CONTEXT%' AND event_name NOT LIKE '%d'
SELECT DISTINCT channel, user_tier FROM events ORDER BY channel, user_tier
SELECT 1 + 2 * 3 - 4, (1 + 2) * 3, 10 - 3 - 2, 7 % 4, 7 // 2, 7 / 2, 2 - -1
SELECT NOT true OR true AND false, NOT (true OR true), 1 < 2 AND 2 < 3
SELECT duration_ms + 1, duration_ms * 2 - 1, -duration_ms, duration_ms / 3 FROM events WHERE duration_ms > 0
SELECT CASE WHEN duration_ms > 100 THEN 'slow' WHEN duration_ms > 10 THEN 'ok' ELSE 'fast' END AS s, COUNT(*) FROM events GROUP BY s
SELECT CASE channel WHEN 'web' THEN 1 ELSE 0 END, IF(is_paid_user, 1, 2), COALESCE(release, '-'), IFNULL(release, '-') FROM events
SELECT NULLIF(channel, 'web'), GREATEST(1, 2, 3), LEAST(duration_ms, 50) FROM events
SELECT SUM(weight), AVG(duration_ms), MIN(duration_ms), MAX(duration_ms), MEDIAN(duration_ms) FROM events
SELECT STDDEV(duration_ms), VARIANCE(duration_ms), QUANTILE_CONT(duration_ms, 0.9), QUANTILE_DISC(duration_ms, 0.5) FROM events
SELECT PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY duration_ms) FROM events
SELECT COUNT(*) FILTER (WHERE result = 'success'), SUM(weight) FILTER (WHERE channel = 'web') FROM events
SELECT COUNT_IF(result <> 'success'), BOOL_AND(is_paid_user), BOOL_OR(is_paid_user) FROM events
SELECT channel, BOOL_AND(is_paid_user) AS every, BOOL_OR(is_paid_user) AS some FROM events GROUP BY channel
SELECT user_id_hash, COUNT(*) AS n FROM events GROUP BY user_id_hash HAVING COUNT(*) > 10 ORDER BY n DESC, user_id_hash
SELECT SUM(n), MAX(n) FROM (SELECT user_id_hash, COUNT(*) AS n FROM events GROUP BY user_id_hash)
SELECT SUM(t.n) FROM (SELECT user_id_hash, COUNT(*) AS n FROM events GROUP BY user_id_hash) AS t WHERE t.n > 5
WITH a AS (SELECT user_id_hash AS u, COUNT(*) AS n FROM events GROUP BY 1), b AS (SELECT u FROM a WHERE n > 20) SELECT COUNT(*) FROM b
WITH a AS (SELECT * FROM events WHERE channel = 'web') SELECT COUNT(*), COUNT(DISTINCT session_id) FROM a
WITH Heavy AS (SELECT user_id_hash FROM events GROUP BY 1 HAVING COUNT(*) > 20) SELECT COUNT(*) FROM heavy
SELECT COUNT(*) FROM events WHERE user_id_hash IN (SELECT user_id_hash FROM errors)
SELECT COUNT(*) FROM events WHERE user_id_hash NOT IN (SELECT user_id_hash FROM errors WHERE user_id_hash IS NOT NULL)
SELECT COUNT(*) FROM events e WHERE EXISTS (SELECT 1 FROM errors r WHERE r.user_id_hash = e.user_id_hash)
SELECT COUNT(*) FROM events e WHERE NOT EXISTS (SELECT 1 FROM errors r WHERE r.user_id_hash = e.user_id_hash)
SELECT COUNT(*) FROM events WHERE duration_ms > (SELECT AVG(duration_ms) FROM events)
SELECT COUNT(*) * 1.0 / (SELECT COUNT(*) FROM events) FROM events WHERE channel = 'web'
SELECT COUNT(*) FROM events e JOIN errors r ON e.session_id = r.session_id
SELECT COUNT(*), COUNT(r.event_id) FROM events e LEFT JOIN errors r ON e.session_id = r.session_id
SELECT e.channel, r.severity, COUNT(*) FROM events e JOIN errors r USING (session_id) GROUP BY 1, 2
SELECT COUNT(*) FROM events e SEMI JOIN errors r ON e.session_id = r.session_id
SELECT COUNT(*) FROM events e ANTI JOIN errors r ON e.session_id = r.session_id
SELECT COUNT(*) FROM (SELECT DISTINCT channel FROM events) a, (SELECT DISTINCT user_tier FROM events) b
SELECT COUNT(*) FROM (SELECT DISTINCT channel FROM events) a CROSS JOIN (SELECT DISTINCT user_tier FROM events) b
SELECT channel FROM events UNION SELECT severity FROM errors
SELECT channel FROM events WHERE channel = 'web' UNION ALL SELECT severity FROM errors
SELECT user_id_hash FROM events EXCEPT SELECT user_id_hash FROM errors
SELECT user_id_hash FROM events INTERSECT SELECT user_id_hash FROM errors ORDER BY 1 LIMIT 3
SELECT user_id_hash, ROW_NUMBER() OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id) AS n FROM events
SELECT user_id_hash, event_name FROM events QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id) = 1
SELECT event_id, LAG(event_id) OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id) FROM events
SELECT event_id, LEAD(event_id, 2) OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id) FROM events
SELECT event_id, LAG(channel, 1, 'none') OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id) FROM events
SELECT event_id, SUM(weight) OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM events
SELECT event_id, AVG(duration_ms) OVER (ORDER BY timestamp, event_id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM events
SELECT event_id, RANK() OVER (ORDER BY channel), DENSE_RANK() OVER (ORDER BY channel DESC), NTILE(3) OVER (ORDER BY timestamp, event_id) FROM events
SELECT event_id, COUNT(*) OVER (PARTITION BY channel), SUM(weight) OVER () FROM events
SELECT event_id, FIRST_VALUE(event_id) OVER (PARTITION BY channel ORDER BY timestamp, event_id) FROM events
SELECT channel, COUNT(*) * 100.0 / SUM(COUNT(*)) OVER () AS share FROM events GROUP BY channel
SELECT DATE_TRUNC('day', timestamp) AS d, COUNT(*) FROM events GROUP BY 1 ORDER BY 1
SELECT CAST(timestamp AS DATE) AS d, COUNT(*) FROM events GROUP BY d ORDER BY d
SELECT timestamp::DATE AS d, COUNT(*) FROM events GROUP BY d ORDER BY d DESC
SELECT DATE(timestamp) AS d, COUNT(*) FROM events GROUP BY d ORDER BY d
SELECT EXTRACT(hour FROM timestamp) AS h, EXTRACT(isodow FROM timestamp) AS w, COUNT(*) FROM events GROUP BY 1, 2
SELECT YEAR(timestamp), MONTH(timestamp), DAY(timestamp), HOUR(timestamp), MINUTE(timestamp) FROM events
SELECT DATE_PART('week', timestamp), EXTRACT(quarter FROM timestamp), EXTRACT(doy FROM timestamp) FROM events
SELECT DATE_PART('dow', timestamp), EXTRACT(dow FROM timestamp) FROM events
SELECT STRFTIME(timestamp, '%Y-%m-%d %H'), COUNT(*) FROM events GROUP BY 1
SELECT COUNT(*) FROM events WHERE timestamp >= '2026-05-01' AND timestamp < TIMESTAMP '2026-05-08 00:00:00'
SELECT COUNT(*) FROM events WHERE timestamp >= DATE '2026-05-01' AND timestamp < DATE '2026-05-01' + INTERVAL '7 days'
SELECT COUNT(*) FROM events WHERE timestamp > TIMESTAMPTZ '2026-05-20 00:00:00+02' - INTERVAL 3 DAY
SELECT MAX(timestamp) - MIN(timestamp) > INTERVAL '1 day' FROM events
SELECT LOWER('AbC'), UPPER('abc'), LENGTH('abc'), LEFT('abc', 2), RIGHT('abc', 2), SUBSTR('abcdef', 2, 3), SUBSTRING('abcdef' FROM 2 FOR 3)
SELECT TRIM('  a '), LTRIM('  a'), RTRIM('a  '), REPLACE('aab', 'a', 'x'), REVERSE('abc'), STRPOS('abc', 'c'), POSITION('b' IN 'abc')
SELECT CONCAT('a', 'b'), 'a' || 'b' || 'c', CONCAT_WS('-', 'a', 'b'), SPLIT_PART('a.b.c', '.', 2)
SELECT STARTS_WITH('abc', 'a'), ENDS_WITH('abc', 'c')
SELECT COUNT(*) FROM events WHERE REGEXP_MATCHES(event_name, '^context_(created|loaded)$')
SELECT COUNT(*) FROM events WHERE REGEXP_MATCHES(event_name, '^CONTEXT', 'i')
SELECT ROUND(2.567, 2), ROUND(7.0 / 3, 1), ABS(-3), CEIL(1.2), FLOOR(1.8), SQRT(16), POW(2, 10), SIGN(-2), TRUNC(1.9)
SELECT ROUND(EXP(1), 6), ROUND(LN(10), 6), LOG10(100), LOG2(8), MOD(7, 3), ROUND(PI(), 5)
SELECT CAST('12' AS BIGINT), CAST('1.5' AS DOUBLE), CAST(3 AS VARCHAR), TRY_CAST('x' AS BIGINT), '7'::INT
SELECT 1 = 1, 1 <> 2, 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL, NULL IS NULL
SELECT COUNT(*) FROM (SELECT * EXCLUDE (metadata, timestamp) FROM events WHERE weight = 1)
SELECT COUNT(*) FROM (SELECT * FROM events LIMIT 10)
SELECT a, b + 1 FROM (VALUES (1, 2), (3, 4)) AS v(a, b) WHERE a > 1
SELECT metadata ->> 'ide' AS ide, COUNT(*) FROM events GROUP BY 1 ORDER BY 2 DESC
SELECT metadata ->> 'ide', COUNT(*) FROM events WHERE metadata ->> 'ide' IS NOT NULL GROUP BY metadata ->> 'ide'
SELECT e.metadata ->> 'ide' AS ide, COUNT(*) AS n FROM events e JOIN errors r ON e.session_id = r.session_id GROUP BY ide
SELECT COUNT(*) FROM events WHERE metadata ->> 'ide' = 'vscode' AND CAST(metadata ->> 'top_k' AS DOUBLE) > 5
SELECT AVG(TRY_CAST(metadata ->> 'top_k' AS DOUBLE)) FROM events
WITH x AS (SELECT user_id_hash, metadata ->> 'ide' AS ide FROM events) SELECT ide, COUNT(DISTINCT user_id_hash) FROM x GROUP BY ide
SELECT metadata IS NULL, COUNT(*) FROM events GROUP BY 1
SELECT metadata, event_id FROM events WHERE metadata LIKE '%vscode%'
SELECT day, COUNT(*) FROM events GROUP BY day ORDER BY day
SELECT week, COUNT(DISTINCT user_id_hash) AS users FROM events GROUP BY week ORDER BY users DESC, week
SELECT month, channel, SUM(weight) AS n FROM events GROUP BY month, channel ORDER BY month, channel
SELECT e.day, COUNT(*) AS n FROM events AS e WHERE e.day >= DATE '2026-05-01' GROUP BY e.day HAVING COUNT(*) > 1
WITH d AS (SELECT day, COUNT(*) AS n FROM events GROUP BY day) SELECT day, n FROM d WHERE n > 5 ORDER BY day
WITH d AS (SELECT day, COUNT(*) AS n FROM events GROUP BY day) SELECT AVG(n), MAX(day) FROM d
SELECT weekday, hour_of_day, COUNT(*) FROM events GROUP BY weekday, hour_of_day
SELECT a.day, COUNT(*) FROM events a JOIN errors b ON a.session_id = b.session_id AND a.day = b.day GROUP BY a.day
SELECT operation_name, QUANTILE_CONT(duration_ms, 0.95) AS p95 FROM traces GROUP BY operation_name ORDER BY p95 DESC
SELECT error_type, SUM(occurrences * weight) AS n FROM errors GROUP BY error_type ORDER BY n DESC, 1
SELECT COUNT(*) FROM sessions
SELECT STRING_AGG(c, ',' ) FROM (SELECT DISTINCT channel AS c FROM events WHERE channel = 'web') AS t
SELECT CORR(duration_ms, weight + duration_ms) FROM events
SELECT channel, COUNT(*) FROM events GROUP BY ROLLUP (channel)
SELECT COUNT(*) FROM events /* a comment */ WHERE true -- and another
SELECT COUNT(*) FROM events;
(SELECT COUNT(*) FROM events)
SELECT "event_name" AS "What it was", COUNT(*) AS "how often" FROM "events" GROUP BY "event_name"
SELECT e1.event_name, e2.event_name AS next FROM events e1 JOIN events e2 ON e1.event_id = e2.event_id
SELECT user_tier, ROUND(AVG(CASE WHEN result = 'success' THEN 1 ELSE 0 END), 3) FROM events GROUP BY user_tier
SELECT DATE_DIFF('day', TIMESTAMP '2026-05-01 23:00:00', timestamp), DATE_DIFF('hour', TIMESTAMP '2026-05-01 23:30:00', timestamp) FROM events
SELECT DATE_DIFF('month', DATE '2025-11-30', timestamp), DATE_DIFF('year', DATE '2024-12-31', timestamp), DATE_DIFF('quarter', DATE '2025-12-31', timestamp) FROM events
SELECT EPOCH(timestamp) FROM events
SELECT event_id, FIRST_VALUE(event_id) OVER w, SUM(weight) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM events WINDOW w AS (PARTITION BY user_id_hash ORDER BY timestamp, event_id)
SELECT event_name FROM events ORDER BY timestamp, event_id FETCH FIRST 3 ROWS ONLY
SELECT timestamp - INTERVAL '1 day', timestamp + INTERVAL '2 hours' FROM events
SELECT day - d0 AS n, COUNT(DISTINCT user_id_hash) FROM (SELECT user_id_hash, day, MIN(day) OVER (PARTITION BY user_id_hash) AS d0 FROM events) GROUP BY n ORDER BY n
WITH f AS (SELECT user_id_hash, MIN(timestamp::date) AS d0 FROM events GROUP BY 1), g AS (SELECT * FROM f) SELECT COUNT(*) FROM events e JOIN g ON e.user_id_hash = g.user_id_hash WHERE e.timestamp::date - g.d0 BETWEEN 1 AND 7
SELECT COUNT(*) FROM (SELECT user_id_hash, MIN(day) AS a, MAX(day) AS b FROM events GROUP BY 1) WHERE b - a > 30
SELECT day - LAG(day) OVER (PARTITION BY user_id_hash ORDER BY timestamp, event_id) FROM events
SELECT DATE '2026-05-10' - DATE '2026-05-01' - 2, (MAX(day) - MIN(day)) / 7, COALESCE(MAX(day), MIN(day)) - MIN(day) FROM events
SELECT x.d - y.d FROM (VALUES (DATE '2026-05-10')) AS x(d), (VALUES (DATE '2026-05-01')) AS y(d)
SELECT d - DATE '2026-05-01' FROM (SELECT day AS d FROM events UNION SELECT day FROM errors) ORDER BY 1
SELECT * FROM (SELECT channel, COUNT(*) AS week FROM events GROUP BY channel) WHERE week > 5
SELECT COUNT(*) FROM events WHERE day + INTERVAL '12 hours' < timestamp AND timestamp - day > INTERVAL '12 hours'
SELECT COUNT(*) FROM events WHERE INTERVAL '36 hours' + day < timestamp + INTERVAL '1 day'
SELECT COUNT(*) FROM events WHERE day = DATE '2026-05-01' + INTERVAL '7 days' OR day = DATE '2026-05-20' - 3
SELECT EPOCH(day), EXTRACT(epoch FROM timestamp::date) FROM events
SELECT STRPOS('日本語', '語'), STRPOS('abc', ''), STRPOS('xay', 'a'), STRPOS('aaa', 'a'), STRPOS('abc', 'z'), INSTR('ñab', 'ab'), CONTAINS('abc', 'b')
SELECT STRFTIME('%Y-%m', timestamp), STRFTIME(timestamp, '%Y-%m') FROM events
SELECT TRIM(BOTH 'x' FROM 'xax'), TRIM('xax', 'x'), TRIM(LEADING 'x' FROM 'xax'), RTRIM('xax', 'x')
SELECT WEEKOFYEAR(timestamp), ISODOW(timestamp) FROM events
SELECT user_id_hash, STRING_AGG(event_name, ' > ' ORDER BY timestamp, event_id) FROM events GROUP BY 1
SELECT STRING_AGG(DISTINCT channel, ',' ORDER BY channel DESC), STRING_AGG(event_id, ',' ORDER BY event_id) FILTER (WHERE channel = 'web') FROM events
SELECT PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE channel = 'web') FROM events
SELECT event_id, COUNT(*) FILTER (WHERE duration_ms > 100) OVER (PARTITION BY channel), SUM(weight) FILTER (WHERE channel = 'web') OVER (ORDER BY timestamp, event_id) FROM events
SELECT APPROX_COUNT_DISTINCT(channel) FROM events
SELECT COUNT(*) FROM events WHERE CAST(metadata ->> 'top_k' AS BIGINT) IN (5, 7)
SELECT COUNT(*) FROM events e RIGHT JOIN errors r ON e.session_id = r.session_id
SELECT COALESCE(a.day, b.day) AS d, a.n, b.n FROM (SELECT day, COUNT(*) AS n FROM events GROUP BY day) a FULL JOIN (SELECT day, COUNT(*) AS n FROM errors GROUP BY day) b ON a.day = b.day
SELECT ROUND(0.5), ROUND(2.5), ROUND(-2.5), ROUND(81.25, 1), ROUND(0.0625, 3), ROUND(-1.25, 1), ROUND(1250, -2), ROUND(1234.5, -1)
SELECT channel, ROUND(100.0 * COUNT(*) / SUM(COUNT(*)) OVER (), 2), ROUND(AVG(duration_ms), 1), ROUND(SUM(weight)) FROM events GROUP BY channel
SELECT event_id FROM events ORDER BY CASE WHEN channel = 'web' THEN 0 WHEN channel = 'server' THEN 1 ELSE 2 END, timestamp DESC, event_id LIMIT 20
SELECT event_id FROM events ORDER BY IF(channel = 'web', 1.5, 0), CASE WHEN result = 'success' THEN 'a' ELSE 'b' END, event_id DESC LIMIT 20
SELECT POW(10, 19) AS a, POW(2, -1) AS b, POW(weight, 2) AS c FROM events
