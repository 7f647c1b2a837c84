"""Who is calling, and what may they do.

owns: users, workspaces, memberships, tokens, sessions, setup
offers: lightrail.auth.v1.AuthService
publishes: lightrail.auth.{user.created, workspace.created, token.created, token.revoked}.v1
listens to: nothing
"""
