create table poll_options (
    poll_id bigint not null references polls (id) on delete cascade,
    position smallint not null,
    label text not null,
    primary key (poll_id, position)
);
