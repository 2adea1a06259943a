-- A table of orders, filled, indexed, changed, and asked. `amount` is a table with one number: how many orders.
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, day INTEGER, price INTEGER, note TEXT);
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < (SELECT orders FROM amount))
INSERT INTO orders SELECT n, n * 7919 % 997, n * 31 % 365, n * 104729 % 10007, printf('order %d of %x', n, n * 48271)
FROM numbers;
CREATE INDEX by_customer ON orders (customer, day);
CREATE TABLE customers AS SELECT customer AS id, count(*) AS orders, sum(price) AS total FROM orders GROUP BY customer;
UPDATE orders SET price = price + 1 WHERE customer IN (SELECT id FROM customers WHERE total % 3 = 0);
DELETE FROM orders WHERE day = 100;
SELECT count(*), sum(price), min(note), max(note) FROM orders;
SELECT a.day, count(*), avg(a.price) FROM orders a JOIN orders b ON a.customer = b.customer AND a.day = b.day + 1
GROUP BY a.day ORDER BY 2 DESC, 1 LIMIT 10;
SELECT count(*) FROM orders WHERE note LIKE '%ff%';
SELECT customer, total FROM (SELECT customer, sum(price) AS total FROM orders GROUP BY customer) ORDER BY total DESC LIMIT 5;
