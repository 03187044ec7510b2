"""`nakagin replicate`: a project and its images on other hosts, over ssh; only what they lack travels."""
