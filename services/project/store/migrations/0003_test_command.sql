-- Runs in what was built; null: no test.
alter table service_settings add column test_command text;
