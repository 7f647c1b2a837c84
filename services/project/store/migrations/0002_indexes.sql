-- Pages of projects, and the services a project has or had.
create index projects_page on projects (workspace_id, id);
create index services_project on services (project_id);
