# Terraform (1.10 or later) or OpenTofu (1.10 or later) keeps its state in the store, and its lock beside it: an
# object that is created with "If-None-Match: *". No DynamoDB.
#
#     terraform init -backend-config="bucket=$BUCKET" -backend-config="endpoints={s3=\"$AWS_ENDPOINT_URL\"}"
#     terraform apply -auto-approve
#
# The key and its secret are read from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

terraform {
  backend "s3" {
    key          = "terraform/demo.tfstate"
    region       = "us-east-1"
    use_lockfile = true

    # Needed for any store but AWS's.
    use_path_style              = true
    skip_credentials_validation = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
    skip_metadata_api_check     = true
  }
}

variable "command" {
  description = "What an apply runs."
  default     = "true"
}

resource "terraform_data" "demo" {
  triggers_replace = [timestamp()]

  provisioner "local-exec" {
    command = var.command
  }
}
