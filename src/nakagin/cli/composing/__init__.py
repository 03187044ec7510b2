"""`nakagin compose …`: words into plans over `nakagin.compose`, and what happens into words. One file a verb."""
