-- A database with something of everything that a dump can get wrong.
create extension pg_trgm;
create schema "Odd Schema";
create schema b;
create type b.mood as enum ('sad', 'ok');
create domain b.pos as int check (value > 0);
create table "Odd Schema"."Tab""le" (
    id bigserial primary key, n numeric(40, 20), f float8, r real, b bytea, j jsonb, a int[][], ta text[],
    ts timestamptz, d interval, u uuid, t text, m b.mood, p b.pos, i inet, rg int4range, x xml, mo money, bits bit varying
);
insert into "Odd Schema"."Tab""le" (n, f, r, b, j, a, ta, ts, d, u, t, m, p, i, rg, x, mo, bits)
select i / 7.0, case i % 5 when 0 then 'nan'::float8 when 1 then 'infinity' else 1.0 / i end, i / 3.0,
    decode(md5(i::text), 'hex'), jsonb_build_object('k', i, 'é', '\u00e9"'), array[[i, 2], [3, 4]],
    array['a"b', null, 'ü,{}'], timestamptz '2024-03-31 01:59:59.999999+00' + i * interval '1 hour',
    i * interval '1 day 3.5 s', gen_random_uuid(), repeat('日本🎉e' || chr(769) || E'\t\\\n', i % 50), 'ok', i + 1,
    '10.0.0.1', int4range(1, i + 2), '<a/>', i, b'101'
from generate_series(1, 2000) i;
create index on "Odd Schema"."Tab""le" using gin (t gin_trgm_ops);
create table b.child (
    t int, parent bigint references "Odd Schema"."Tab""le" on delete cascade, unique (parent, t)
);
insert into b.child select 1, id from "Odd Schema"."Tab""le";
create view b.v as select count(*) from b.child;
create materialized view b.mv as select t, parent from b.child;
create sequence b.s start 7 increment 3;
select nextval('b.s'), nextval('b.s');
create table part (k int, v text) partition by range (k);
create table part1 partition of part for values from (0) to (100);
create table part2 partition of part for values from (100) to (200);
insert into part select i, i from generate_series(0, 199) i;
create table empty ();
create table g (a int, b int generated always as (a * 2) stored);
create function b.tf() returns trigger language plpgsql as 'begin return new; end';
create trigger tr before insert on g for each row execute function b.tf();
insert into g select generate_series(1, 5);
select lo_from_bytea(0, '\x00ff00ff'), lo_from_bytea(0, decode(repeat('ab', 100000), 'hex'));
create role reader;
grant select on b.child to reader;
alter table b.child enable row level security;
create policy pol on b.child to reader using (true);
grant connect on database shop to reader;
alter database shop set work_mem = '7MB';
